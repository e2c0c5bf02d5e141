/**
 * The life of one connection after its opening handshake: reading and holding back, writing, and the end.
 *
 * Bytes are handled when they come, up to an allowance; what is beyond it waits for its turn. A connection
 * that cannot go on stops reading from the network.
 *
 * @module
 */

import { CloseCode, type FrameInfo } from "../protocol/frame.ts";
import type { PerMessageDeflate } from "../protocol/permessage_deflate/codec.ts";
import type { PreparedMessage } from "../protocol/prepared_message.ts";
import { Closing, type Message, Protocol, type ProtocolEvent } from "../protocol/protocol.ts";
import { ProtocolError } from "../protocol/protocol_error.ts";
import type { Output } from "../protocol/sender.ts";
import type { Connection, Receiver } from "../transport/connection.ts";
import { Linger, LINGER_MS, StillSending } from "../transport/linger.ts";
import { type MemoryAccount, memoryBudget } from "../transport/memory_budget.ts";
import { turns } from "../transport/turns.ts";
import { clientKey } from "../transport/address.ts";
import { endSweep, sweepContexts } from "./context_sweep.ts";
import { Liveness, type LivenessOwner } from "./liveness.ts";
import type { SocketLimits } from "./options.ts";
import type { SocketStats } from "./stats.ts";
import { type Continuing, tasks } from "./tasks.ts";

/** The web's `readyState`. */
export const State = { CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 } as const;

/** A value of {@linkcode State}. */
export type StateValue = typeof State[keyof typeof State];

/** The names of {@linkcode State}. */
export const STATE_NAMES = ["CONNECTING", "OPEN", "CLOSING", "CLOSED"] as const;

/** How a connection ended. */
export interface Ending {
  wasClean: boolean;
  code: number;
  reason: string;
  /** Why it did not end cleanly. */
  error: unknown;
}

/** What a session tells its owner. Each call is a task of its own. */
export interface SessionListener {
  onOpen(): void;
  onMessage(data: Message): void;
  onPong(data: Uint8Array<ArrayBuffer>): void;
  /** What was over the high-water mark has been sent. */
  onDrain(): void;
  /** The connection did not end cleanly; `onEnd` follows. */
  onError(error: unknown): void;
  onEnd(ending: Ending): void;
  /** Whether the owner can take no message now; it calls `goOn` when it can. */
  readonly isBusy: boolean;
}

/** What is told of the end of each of many sessions. */
export interface SessionWatcher {
  /**
   * The session has ended, and its owner has been told: what it counts changes no more.
   *
   * @param code The code that this end has failed the connection with, else the peer's.
   */
  sessionEnded(session: Session, code: number): void;
}

/** Why nothing more is handled for now. */
const Wait = {
  NOTHING: 0,
  /** The task of the event before has to end. */
  TASK: 1,
  /** The allowance is used up: its turn is to come. */
  TURN: 2,
  /** The peer does not take its answers, or handlers have too much at work. */
  BACK_PRESSURE: 3,
  /** The reader of `readable` has not asked for the message. */
  READER: 4,
} as const;

/** Work that is done at once when bytes come, in bytes inflated: 0.3 ms. */
const LIGHT_WORK = 100_000;
const LIGHT_WORK_MS = 0.3;

/** Work of one turn, likewise. */
const TURN_WORK = 150_000;

/** What one write gives the network at most: encryption of it takes a fifth of a millisecond. */
const MAX_WRITE = 128 * 1024;

/** With handlers at work on too much, one more message is handled after so long, in milliseconds. */
const HANDLER_PATIENCE_MS = 1000;

/** At shutdown, two checks this far apart without activity mean that all has been answered. */
const QUIET_MS = 10;

/**
 * Most memory that TLS takes besides for a connection, in bytes, which is not seen from here: its buffers grow to
 * the largest record each way. A peer in the middle of a message may have sent such records.
 */
const NATIVE_BYTES = 64 * 1024;

/**
 * Longest wait for the peer's Close frame after ours, in milliseconds, beyond what a slow peer needs to read
 * what is before ours, and to send what is before its own.
 */
const CLOSE_TIMEOUT_MS = 10_000;

/** One connection's life. */
export class Session implements Receiver, LivenessOwner, Continuing {
  /** The owner, which is told what happens; set before the session starts. */
  listener!: SessionListener;
  /** Told of the end, if there. */
  watcher: SessionWatcher | undefined;
  readonly server: boolean;
  readonly limits: SocketLimits;
  readonly #onFrame: ((frame: FrameInfo) => void) | undefined;
  /** What was agreed on in the opening handshake. */
  subprotocol = "";
  extensions = "";
  #deflate: PerMessageDeflate | undefined;
  /** There from {@linkcode start} on. */
  #protocol!: Protocol;
  readonly #liveness: Liveness;
  #connection: Connection | undefined;
  #account: MemoryAccount | undefined;
  #state: StateValue = State.CONNECTING;
  /** What the account was last told. */
  #held = 0;

  // Reading
  #wait: number = Wait.NOTHING;
  #paused = true;
  /** The message that the reader of `readable` has not asked for. */
  #heldMessage: Message | undefined;
  /** The task in which the owner was last called, and that in which the allowance was last renewed. */
  #eventTask = -1;
  #allowanceTask = -1;
  #handling = false;
  isTaskDue = false;
  #peerEnded = false;
  /** Whether nothing can be written any more; what had come before is still handled. */
  #broken = false;
  /** Whether the connection has ended; what had come before is still handled. */
  #gone = false;
  #handlers = 0;
  #handlerBytes = 0;
  #messageTimer: ReturnType<typeof setTimeout> | undefined;
  /** How many messages had come when the message timer was set. */
  #messagesAtTimer = 0;
  /** Bytes that have come from the network. */
  #receivedBytes = 0;

  // Writing
  /** What is being written, and where the part starts that the network has not taken. */
  #current: Output | undefined;
  #at = 0;
  /** Where the write ends that is under way. */
  #writeEnd = 0;
  #writing = false;
  /** What the network has taken: whole outputs of the protocol, and bytes. */
  #sentMessages = 0;
  #sentMessageBytes = 0;
  #sentBytes = 0;
  #flushScheduled = false;
  /** Whether more was unsent than the high-water mark, and `drain` is due once it is not. */
  #drainDue = false;
  /** Whether `drain` waits for a task of its own. */
  #drainWaits = false;
  #drained: PromiseWithResolvers<void> | undefined;

  // Ending
  #failure: unknown;
  /** Why the connection broke, which is a failure unless the closing handshake was over. */
  #breakage: Error | undefined;
  /** The peer's, once its Close frame has come (RFC 6455 section 7.1.5). */
  #closeCode: number = CloseCode.ABNORMAL;
  #closeReason = "";
  /** Whether this end has cut the connection off: what has come is not handled any more. */
  #isCutOff = false;
  /** There once our last word has been said. */
  #linger: Linger | undefined;
  #closeTimer: ReturnType<typeof setTimeout> | undefined;
  /** There while the peer's Close frame is awaited. */
  #sending: StillSending | undefined;
  #pongTimer: ReturnType<typeof setTimeout> | undefined;
  #leaveTimer: ReturnType<typeof setTimeout> | undefined;
  #patienceTimer: ReturnType<typeof setTimeout> | undefined;
  /** The close that was asked for before the connection was there. */
  #closeAtStart: { code: number; reason: string } | undefined;
  /** How the connection has ended, until the owner has been told. */
  #ending: Ending | undefined;
  /** Whether the owner has been told why. */
  #errorTold = false;
  /** Made when it is asked for. */
  #ended: PromiseWithResolvers<void> | undefined;

  /** @param onFrame The program's hook; it never throws. */
  constructor(
    role: "client" | "server",
    limits: SocketLimits,
    onFrame?: (frame: FrameInfo) => void,
  ) {
    this.server = role === "server";
    this.limits = limits;
    this.#onFrame = onFrame;
    this.#liveness = new Liveness(limits.idleTimeout, this);
  }

  /** The web's `readyState`. */
  get state(): StateValue {
    return this.#state;
  }

  /** The peer's address, once there is one. */
  get remoteAddr(): Deno.Addr | undefined {
    return this.#connection?.remoteAddr;
  }

  /** What the connection has carried so far. */
  get stats(): SocketStats {
    const started = this.#connection !== undefined;
    return Object.freeze({
      received: Object.freeze({
        messages: started ? this.#protocol.receivedMessages : 0,
        messageBytes: started ? this.#protocol.receivedMessageBytes : 0,
        wireBytes: this.#receivedBytes,
      }),
      sent: Object.freeze({
        messages: this.#sentMessages,
        messageBytes: this.#sentMessageBytes,
        wireBytes: this.#sentBytes,
      }),
    });
  }

  /** Resolves when the connection has ended. */
  get ended(): Promise<void> {
    this.#ended ??= Promise.withResolvers();
    if (this.#state === State.CLOSED) this.#ended.resolve();
    return this.#ended.promise;
  }

  /** Why the connection did not end cleanly, as far as that is known. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Notes what was agreed on in the opening handshake. */
  agree(subprotocol: string, extensions: string, deflate: PerMessageDeflate | undefined): void {
    this.subprotocol = subprotocol;
    this.extensions = extensions;
    this.#deflate = deflate;
  }

  /**
   * The connection is there: from now on events come.
   *
   * @param rest What came right behind the opening handshake.
   * @param peerEnded Whether the peer has ended its side behind that.
   */
  start(connection: Connection, rest: Uint8Array<ArrayBuffer>, peerEnded = false): void {
    this.#protocol = new Protocol({
      role: this.server ? "server" : "client",
      deflate: this.#deflate,
      maxMessageSize: this.limits.maxMessageSize,
      pongs: this.limits.maxPingsPerSecond,
      onFrame: this.#onFrame,
    });
    this.#connection = connection;
    connection.receiver = this;
    if (this.#failure !== undefined) return connection.destroy();
    if (this.server) {
      const address = clientKey(connection.remoteAddr);
      this.#account = memoryBudget.open(address, () => this.#outOfMemory());
    }
    if (this.#state === State.CONNECTING) {
      this.#state = State.OPEN;
      this.#tell(() => this.listener.onOpen());
    }
    if (this.#closeAtStart !== undefined) this.#sendClose(this.#closeAtStart);
    this.#liveness.watch();
    if (rest.length > 0) this.onBytes(rest);
    if (peerEnded) this.onEnd();
    this.#resume();
    this.#flush();
  }

  /** Ends a session whose connection is never there. */
  abandon(error: unknown): void {
    this.#failure ??= error;
    // What the program does right after it made the socket comes first.
    this.#eventTask = tasks.current;
    this.#end();
  }

  // Reading

  onBytes(bytes: Uint8Array<ArrayBuffer>): void {
    this.#receivedBytes += bytes.length;
    this.#liveness.seen();
    if (this.#linger !== undefined) return this.#linger.drop(bytes.length);
    this.#sending?.came(bytes.length);
    this.#protocol.receive(bytes);
    if (this.#wait === Wait.NOTHING) {
      if (tasks.current !== this.#allowanceTask) {
        this.#allowanceTask = tasks.current;
        this.#protocol.allowance = LIGHT_WORK;
      }
      if (this.#eventTask === tasks.current) this.#waitForTask();
      else this.#handle();
    }
    this.#protocol.keepInput();
    this.#settle();
  }

  onEnd(): void {
    this.#peerEnded = true;
    if (this.#linger !== undefined) this.#linger.peerEnded();
    else if (this.#wait === Wait.NOTHING) this.#settle();
  }

  /** Goes on in a task of its own. */
  continue(): void {
    if (this.#state === State.CLOSED) return this.#tellEnd();
    if (this.#drainWaits) this.#tellDrain();
    if (this.#wait !== Wait.TASK) return;
    if (this.#eventTask === tasks.current) return tasks.after(this);
    this.#wait = Wait.NOTHING;
    this.#handle();
    this.#protocol.keepInput();
    this.#settle();
  }

  /** Goes on in its turn. */
  step(): boolean {
    if (this.#state === State.CLOSED) {
      this.#tellEnd();
      return false;
    }
    this.#workOnOutput();
    if (this.#drainWaits) this.#tellDrain();
    if (this.#wait === Wait.TURN || this.#wait === Wait.TASK) {
      // Several steps may be done in one task.
      if (this.#eventTask === tasks.current) this.#waitForTask();
      else this.#wait = Wait.NOTHING;
      this.#protocol.allowance = TURN_WORK;
      this.#handle();
      this.#protocol.keepInput();
    }
    this.#settle();
    return this.#protocol.busy || this.#wait === Wait.TURN;
  }

  /** Handles what has come, until something has to be waited for. */
  #handle(): void {
    const protocol = this.#protocol;
    this.#handling = true;
    try {
      while (this.#wait === Wait.NOTHING && this.#failure === undefined) {
        const event = protocol.next();
        if (event === undefined) {
          if (protocol.stopped) this.#waitForTurn();
          break;
        }
        this.#take(event);
      }
    } catch (error) {
      // No breach of the protocol, but a fault behind it, as when there is no memory.
      this.fail(error);
    } finally {
      this.#handling = false;
    }
  }

  #take(event: ProtocolEvent): void {
    switch (event.type) {
      case "message":
        if (this.#state !== State.OPEN) return;
        if (this.listener.isBusy) {
          this.#heldMessage = event.data;
          this.#wait = Wait.READER;
          return;
        }
        this.#deliver(event.data);
        break;
      case "ping":
        this.#allowPongsLater();
        break;
      case "pong":
        this.#liveness.pong(event.data);
        this.#tell(() => this.listener.onPong(event.data));
        this.#afterEvent();
        break;
      case "close":
        this.#closeCode = event.code;
        this.#closeReason = event.reason;
        this.#beginClosing();
        break;
      case "failure":
        this.#failure ??= event.error;
        this.#beginClosing();
    }
  }

  #deliver(data: Message): void {
    this.#eventTask = tasks.current;
    this.listener.onMessage(data);
    this.#afterEvent();
  }

  /** After an event nothing is handled before its task is done, or while the connection is full. */
  #afterEvent(): void {
    if (this.#wait !== Wait.NOTHING) return;
    // What the network takes at once does not fill the connection.
    if (this.#isFull) this.#flush();
    if (this.#isFull) this.#waitForRoom();
    else if (this.#protocol.hasInput) this.#waitForTask();
  }

  /** Calls the owner. */
  #tell(call: () => void): void {
    this.#eventTask = tasks.current;
    call();
  }

  #waitForTask(): void {
    this.#wait = Wait.TASK;
    tasks.after(this);
  }

  #waitForTurn(): void {
    this.#wait = Wait.TURN;
    turns.charge(LIGHT_WORK_MS);
    turns.add(this);
  }

  /**
   * Whether a server waits until its peer takes its answers, or its handlers are done, before it hears
   * more. A client always reads: if both ends stopped reading, neither could make progress.
   */
  get #isFull(): boolean {
    return this.server && this.#state === State.OPEN &&
      (!this.#broken && this.unsent > this.limits.highWaterMark || this.#handlersAreFull);
  }

  /** Whether there is too much at work. One message alone is not: its handler may wait for another. */
  get #handlersAreFull(): boolean {
    return this.#handlerBytes > this.limits.highWaterMark && this.#handlers > 1;
  }

  #waitForRoom(): void {
    this.#wait = Wait.BACK_PRESSURE;
    this.#boundWaitForHandlers();
  }

  /** Handlers may wait for what has not been read, and the peer may have left: one message more is read. */
  #boundWaitForHandlers(): void {
    if (this.unsent > this.limits.highWaterMark) return;
    this.#patienceTimer ??= setTimeout(() => {
      this.#patienceTimer = undefined;
      // Otherwise the peer does not take its answers; once it does, the wait for handlers begins anew.
      if (this.#wait === Wait.BACK_PRESSURE && this.unsent <= this.limits.highWaterMark) {
        this.#waitForTask();
      }
    }, HANDLER_PATIENCE_MS);
  }

  /** To be called when something has changed that the session may be waiting for. */
  goOn(): void {
    if (this.#wait === Wait.BACK_PRESSURE) {
      if (this.#isFull) return this.#boundWaitForHandlers();
      clearTimeout(this.#patienceTimer);
      this.#patienceTimer = undefined;
      this.#waitForTask();
    } else if (
      this.#wait === Wait.READER && (!this.listener.isBusy || this.#state !== State.OPEN)
    ) {
      const data = this.#heldMessage!;
      this.#heldMessage = undefined;
      this.#wait = Wait.NOTHING;
      if (this.#gone) this.#boundReader();
      if (this.#state === State.OPEN) this.#deliver(data);
      if (this.#wait === Wait.NOTHING) this.#waitForTask();
    }
  }

  /** A handler of the owner has promised something, or has done it. */
  handlerAtWork(change: 1 | -1, bytes: number): void {
    this.#handlers += change;
    this.#handlerBytes += change * bytes;
    this.#updateHeld();
    if (change === -1) this.goOn();
  }

  /** After all that may change what is read, written or held. */
  #settle(): void {
    // In the middle of what came together, answers wait for each other, to go out in one write.
    if (this.#wait === Wait.TASK) return this.#pause();
    this.#flush();
    if (this.#state === State.CLOSED) return;
    if (this.#wait === Wait.NOTHING) this.#resume();
    else this.#pause();
    this.#watchMessage();
    this.#updateHeld();
    if (this.#wait === Wait.NOTHING) this.#endIfDone();
  }

  #pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#connection!.pause();
  }

  #resume(): void {
    if (!this.#paused || this.#wait !== Wait.NOTHING) return;
    this.#paused = false;
    this.#connection!.resume();
  }

  #allowPongsLater(): void {
    this.#pongTimer ??= setTimeout(() => {
      this.#pongTimer = undefined;
      if (this.#protocol.allowPongs()) this.#allowPongsLater();
      this.#scheduleFlush();
    }, 1000);
  }

  /** Bounds the time that a message takes to come. */
  #watchMessage(): void {
    const { messageTimeout } = this.limits;
    if (!this.#protocol.inMessage || this.#messageTimer !== undefined || messageTimeout === 0) {
      return;
    }
    this.#messagesAtTimer = this.#protocol.receivedMessages;
    this.#messageTimer = setTimeout(() => {
      this.#messageTimer = undefined;
      // While nothing is read, it is not the peer that lets it wait.
      const late = this.#protocol.receivedMessages === this.#messagesAtTimer &&
        this.#wait < Wait.BACK_PRESSURE;
      if (late && this.#protocol.inMessage) {
        this.#refuse(
          new ProtocolError(
            CloseCode.POLICY_VIOLATION,
            "MESSAGE_TOO_SLOW",
            `Cannot receive message: it took over ${messageTimeout} ms`,
          ),
        );
      } else {
        this.#watchMessage();
      }
    }, messageTimeout);
    Deno.unrefTimer(this.#messageTimer);
  }

  // Memory

  #holds(): number {
    // The memory of a prepared message is its own, but TLS copies what is written.
    const written = Math.max(this.#current?.frames.held ?? 0, this.#currentLeft);
    const native = this.#protocol.heldReceived > 0
      ? NATIVE_BYTES
      : Math.min(this.#currentLeft, NATIVE_BYTES);
    const kept = this.#deflate?.kept ?? 0;
    return this.#protocol.held + written + native + kept + this.#handlerBytes;
  }

  #updateHeld(): void {
    if (this.#account === undefined) return;
    const held = this.#holds();
    if (held === this.#held) return;
    this.#held = held;
    this.#account.update(held);
  }

  /** The process holds too much, and this connection most of it. */
  #outOfMemory(): void {
    if (this.#state === State.CLOSED) return;
    const error = new ProtocolError(
      CloseCode.TRY_AGAIN_LATER,
      "OUT_OF_MEMORY",
      "Cannot go on: the memory for all connections is used up, and this one holds the most",
    );
    // A peer that does not take what it is sent will not take a Close frame either.
    if (this.unsent > this.limits.highWaterMark) this.fail(error);
    else this.#refuse(error);
  }

  /** Fails the connection with a Close frame that says why. */
  #refuse(error: ProtocolError): void {
    if (this.#protocol.closing === Closing.FAILED) return;
    this.#failure ??= error;
    this.#heldMessage = undefined;
    this.#protocol.fail(error);
    this.#beginClosing();
    this.#wait = Wait.NOTHING;
    // Not at once: the caller may be in the middle of another connection's work.
    queueMicrotask(() => this.#settle());
  }

  // Writing

  /** Bytes of frames that the network has not taken, and of messages that are not yet frames. */
  get unsent(): number {
    return this.#protocol.unsent + this.#currentLeft;
  }

  get #currentLeft(): number {
    return this.#current === undefined ? 0 : this.#current.frames.length - this.#at;
  }

  /** Bytes of messages that the network has not taken. */
  get bufferedAmount(): number {
    if (this.#connection === undefined) return 0;
    return this.#protocol.messageBytes + (this.#current?.messageBytes ?? 0);
  }

  /**
   * Cuts the connection off if too much is unsent for another message.
   *
   * @param waiting Bytes of messages that the session has not been given yet.
   * @returns Whether there is room for one.
   */
  hasRoom(waiting: number): boolean {
    const { maxBufferedAmount } = this.limits;
    const unsent = this.unsent + waiting;
    if (unsent <= maxBufferedAmount) return true;
    this.fail(
      new Error(
        `Connection lost: ${unsent} bytes are unsent, must be ${maxBufferedAmount} at most`,
      ),
    );
    return false;
  }

  /** Sends a message. */
  send(data: string | Uint8Array | PreparedMessage, compress: boolean): void {
    if (this.#give(data, compress)) this.#scheduleFlush();
  }

  /** Likewise, and writes it at once, unless what is under way does so at its end. */
  sendAtOnce(data: PreparedMessage, compress: boolean): void {
    if (this.#give(data, compress)) this.#flushAtOnce();
  }

  /** Gives the protocol a message. Returns whether there was room for it. */
  #give(data: string | Uint8Array | PreparedMessage, compress: boolean): boolean {
    this.#liveness.sent();
    if (!this.hasRoom(0)) return false;
    if (typeof data === "string" || data instanceof Uint8Array) this.#protocol.send(data, compress);
    else this.#protocol.sendPrepared(data, compress);
    if (this.#deflate !== undefined) sweepContexts();
    if (this.bufferedAmount > this.limits.highWaterMark) this.#drainDue = true;
    if (this.#protocol.busy) turns.add(this);
    return true;
  }

  #workOnOutput(): void {
    for (let left = TURN_WORK; left > 0 && this.#protocol.busy;) {
      try {
        left -= this.#protocol.step();
      } catch (error) {
        return this.fail(error);
      }
    }
  }

  /** One write for all that is sent in this turn. */
  #scheduleFlush(): void {
    if (this.#flushScheduled || this.#handling || this.#writing) return;
    if (this.#wait === Wait.TASK) return;
    this.#flushScheduled = true;
    queueMicrotask(() => {
      this.#flushScheduled = false;
      this.#flushAndSettle();
    });
  }

  #flushAtOnce(): void {
    if (!this.#handling && this.#wait !== Wait.TASK) this.#flushAndSettle();
  }

  #flushAndSettle(): void {
    if (this.#state === State.CLOSED) return;
    this.#flush();
    this.#updateHeld();
    if (this.#wait === Wait.NOTHING) this.#endIfDone();
  }

  #flush(): void {
    const connection = this.#connection;
    if (this.#writing || connection === undefined || this.#broken) return;
    if (this.#linger !== undefined) return;
    for (;;) {
      if (this.#current === undefined) {
        this.#current = this.#protocol.takeOutput();
        if (this.#current === undefined) break;
        this.#at = this.#current.frames.start;
      }
      const { bytes, length } = this.#current.frames;
      const to = Math.min(length, this.#at + MAX_WRITE);
      this.#liveness.wrote(to - this.#at);
      // A prepared frame is written whole: to make a view of it would take longer than the rest of this.
      const isWhole = this.#at === 0 && to === bytes.length;
      if (!connection.write(isWhole ? bytes : bytes.subarray(this.#at, to))) {
        this.#writeEnd = to;
        this.#writing = true;
        this.#liveness.writing();
        return;
      }
      this.#endWrite(to);
    }
    this.#onFlushed();
  }

  /** The network has taken what is before `to`; lets go of what has been written whole. */
  #endWrite(to: number): void {
    const current = this.#current!;
    this.#sentBytes += to - this.#at;
    this.#at = to;
    if (to < current.frames.length) return;
    this.#sentMessages += current.messages;
    this.#sentMessageBytes += current.messageBytes;
    current.frames.release();
    this.#current = undefined;
    this.#at = 0;
  }

  /** The peer's Close frame may be in what it sent before, and not be read yet. */
  onBroken(): void {
    this.#broken = true;
    if (this.#linger !== undefined) return this.#connection!.destroy();
    // What the system has of a broken connection can be read at once, by a session that reads.
    clearTimeout(this.#closeTimer);
    this.#closeTimer = setTimeout(() => this.#connection!.destroy(), LINGER_MS);
    this.goOn();
    if (this.#wait === Wait.NOTHING) this.#settle();
  }

  onWritten(): void {
    this.#writing = false;
    this.#liveness.written();
    this.#endWrite(this.#writeEnd);
    this.#flush();
    if (this.unsent <= this.limits.highWaterMark) {
      this.#drained?.resolve();
      this.#drained = undefined;
    }
    this.goOn();
    this.#updateHeld();
    if (this.#wait === Wait.NOTHING) this.#endIfDone();
  }

  /** All that was sent has been taken by the network. */
  #onFlushed(): void {
    this.#drained?.resolve();
    this.#drained = undefined;
    this.goOn();
    if (!this.#drainDue || this.#protocol.busy || this.#failure !== undefined) return;
    this.#drainDue = false;
    this.#drainWaits = true;
    tasks.after(this);
  }

  #tellDrain(): void {
    if (this.#eventTask === tasks.current) return tasks.after(this);
    this.#drainWaits = false;
    this.#tell(() => this.listener.onDrain());
  }

  /** Resolves when no more is unsent than the high-water mark; rejects when the connection is lost. */
  async drained(): Promise<void> {
    while (this.unsent > this.limits.highWaterMark && this.#state !== State.CLOSED) {
      this.#drained ??= Promise.withResolvers();
      await this.#drained.promise;
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Sends a Ping, and resolves with the time to its Pong. */
  ping(data: Uint8Array): Promise<number> {
    const pong = this.#liveness.expectPong(data);
    this.sendPing(data);
    return pong;
  }

  /**
   * Whether this end does not read, so that it could not see a sign of life. Where it waits for the peer to
   * take its answers, that they are taken would be such a sign.
   */
  get isDeaf(): boolean {
    return this.#wait === Wait.READER ||
      this.#wait === Wait.BACK_PRESSURE && this.unsent <= this.limits.highWaterMark;
  }

  /** Sends a Ping. */
  sendPing(data: Uint8Array): void {
    this.#protocol.ping(data);
    this.#scheduleFlush();
  }

  /** Sends a Pong that no Ping asked for. */
  sendPong(data: Uint8Array): void {
    this.#protocol.pong(data);
    this.#scheduleFlush();
  }

  // Ending

  /** Begins the closing handshake, after what was sent before. */
  close(code: number, reason: string): void {
    if (this.#state >= State.CLOSING) return;
    const connecting = this.#state === State.CONNECTING;
    this.#state = State.CLOSING;
    // On a server the response is yet to be sent: the close goes out right behind it.
    if (connecting) this.#closeAtStart = { code, reason };
    else this.#sendClose({ code, reason });
  }

  /** From now on nothing is sent but the Close frame, by {@linkcode sendClose}. */
  beginClosing(): void {
    if (this.#state < State.CLOSING) this.#state = State.CLOSING;
  }

  /** Writes the Close frame of a close that has begun. */
  sendClose(code: number, reason: string): void {
    this.#sendClose({ code, reason });
  }

  #sendClose({ code, reason }: { code: number; reason: string }): void {
    this.#protocol.close(code, reason);
    this.#boundClose();
    this.goOn();
    this.#scheduleFlush();
  }

  /** A Close frame has come, or the connection has failed. */
  #beginClosing(): void {
    this.beginClosing();
    this.#boundClose();
    if (this.#protocol.busy) turns.add(this);
  }

  /**
   * Bounds the time to the end, from when the peer last took some of what is sent before our Close. A peer that
   * is still sending may get to read that Close, or to write its own, only behind all it has to send.
   */
  #boundClose(): void {
    if (this.#broken) return;
    clearTimeout(this.#closeTimer);
    const progress = this.#liveness.progress;
    this.#sending ??= new StillSending();
    this.#closeTimer = setTimeout(() => {
      if (this.#sending!.look() || this.#liveness.tookSince(progress)) return this.#boundClose();
      this.fail(new Error(`Connection lost: peer did not close within ${CLOSE_TIMEOUT_MS} ms`));
    }, CLOSE_TIMEOUT_MS + this.#liveness.patience);
  }

  /** Whether nothing is to be written any more. */
  get #allWritten(): boolean {
    return this.#current === undefined && this.#protocol.unsent === 0;
  }

  /** Ends our side once the last has been said, or the peer has gone. */
  #endIfDone(): void {
    if (this.#connection === undefined || this.#linger !== undefined || this.#isCutOff) return;
    if (this.#gone) return this.#end();
    if (this.#broken) {
      if (this.#peerEnded || this.#protocol.receivingEnded) this.#connection.destroy();
      return;
    }
    const { closing } = this.#protocol;
    if (this.#peerEnded && closing < Closing.RECEIVED && this.#failure === undefined) {
      this.#failure = new Error("Connection lost: peer ended it without a Close frame");
      // Without anything to write the end is now, and nothing has to bound the time to it.
      if (this.#allWritten) this.beginClosing();
      else this.#beginClosing();
    }
    if (closing < Closing.DONE && this.#failure === undefined) return;
    if (!this.#allWritten) return;
    const clean = this.#protocol.closedCleanly && this.#failure === undefined;
    // A server ends the connection first; a client waits for that (RFC 6455 section 7.1.1).
    if (this.server || !clean) this.#connection.end();
    if (this.#peerEnded) {
      this.#isCutOff = true;
      return this.#connection.destroy();
    }
    this.#linger = new Linger(this.#connection);
    this.#paused = false;
    this.#connection.resume();
  }

  /** Breaks the connection off. */
  fail(error: unknown): void {
    if (this.#state === State.CLOSED) return;
    this.#failure ??= error;
    this.#isCutOff = true;
    this.beginClosing();
    if (this.#gone) this.#end();
    else this.#connection?.destroy();
  }

  onClose(error: Error | undefined): void {
    this.#gone = this.#broken = this.#peerEnded = true;
    this.#breakage = error;
    // What had come before is handled to its end, as a Close frame may be there.
    const isDone = this.#wait === Wait.NOTHING || this.#isCutOff || this.#linger !== undefined;
    if (isDone) return this.#end();
    this.#boundReader();
    this.goOn();
  }

  /** A reader that never asks for the next message must not keep what came before the end for ever. */
  #boundReader(): void {
    clearTimeout(this.#closeTimer);
    this.#closeTimer = setTimeout(() => this.#end(), CLOSE_TIMEOUT_MS);
  }

  /** Ends the session's life: everything is given back, and the last event told. */
  #end(): void {
    if (this.#state === State.CLOSED) return;
    const started = this.#connection !== undefined;
    // RFC 6455 section 7.1.4: both Close frames have been exchanged, so that ours has gone out.
    const clean = started && this.#protocol.closedCleanly && this.#allWritten &&
      this.#failure === undefined;
    this.#state = State.CLOSED;
    clearTimeout(this.#closeTimer);
    this.#linger?.stop();
    clearTimeout(this.#pongTimer);
    clearTimeout(this.#leaveTimer);
    clearTimeout(this.#patienceTimer);
    clearTimeout(this.#messageTimer);
    turns.remove(this);
    this.#wait = Wait.NOTHING;
    this.#heldMessage = undefined;
    if (started) this.#protocol.release();
    this.#deflate?.close();
    endSweep();
    this.#account?.close();
    const error = clean
      ? undefined
      : this.#failure ?? this.#breakage ?? new Error("Connection lost");
    this.#failure = error;
    this.#liveness.end(error);
    this.#drained?.resolve();
    this.#ending = {
      wasClean: clean,
      code: this.#closeCode,
      reason: this.#closeReason,
      error,
    };
    this.#tellEnd();
  }

  /** Tells the owner how the connection has ended: the error, then the end, each in a task of its own. */
  #tellEnd(): void {
    const ending = this.#ending;
    if (ending === undefined) return;
    if (this.#eventTask === tasks.current) return tasks.after(this);
    if (!ending.wasClean && !this.#errorTold) {
      this.#errorTold = true;
      // First, as the owner may throw.
      tasks.after(this);
      return this.#tell(() => this.listener.onError(ending.error));
    }
    this.#ending = undefined;
    try {
      this.listener.onEnd(ending);
    } finally {
      const { code, error } = ending;
      this.watcher?.sessionEnded(this, error instanceof ProtocolError ? error.code : code);
      this.#ended?.resolve();
    }
  }

  // Life signs and leaving

  /**
   * Closes with `code` once nothing has come, gone out or been at work for a moment, and at the latest at the
   * time `end`.
   */
  goAway(end: number, code: number): void {
    clearTimeout(this.#leaveTimer);
    let seen = -1;
    let quiet = 0;
    const look = () => {
      if (this.#state !== State.OPEN) return;
      const { activity } = this.#liveness;
      const atWork = this.#handlers > 0 || this.listener.isBusy || this.#wait !== Wait.NOTHING ||
        this.#writing || this.#protocol.busy;
      quiet = activity === seen && !atWork ? quiet + 1 : 0;
      // Two looks, as one may come late, and before what the network has brought meanwhile.
      if (quiet === 2 || performance.now() >= end) return this.close(code, "");
      seen = activity;
      this.#leaveTimer = setTimeout(look, QUIET_MS);
    };
    look();
  }
}
