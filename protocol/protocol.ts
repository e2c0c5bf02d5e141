/**
 * One connection after its opening handshake (RFC 6455 sections 5 to 7, RFC 7692 sections 6 and 7.2):
 * bytes in, events out; commands in, bytes out. No I/O, no timers.
 *
 * The caller passes the bytes that have come to {@linkcode Protocol.receive}, takes one event after the
 * other from {@linkcode Protocol.next}, calls {@linkcode Protocol.step} while {@linkcode Protocol.busy} is
 * true, and writes what {@linkcode Protocol.takeOutput} returns to the network.
 *
 * @module
 */

import { closePayload, type FrameInfo, Opcode, readClosePayload } from "./frame.ts";
import type { Message } from "./message.ts";
import type { PerMessageDeflate } from "./permessage_deflate/codec.ts";
import type { PreparedMessage } from "./prepared_message.ts";
import { ProtocolError } from "./protocol_error.ts";
import { FrameReceiver, type Received } from "./receiver.ts";
import { FrameSender, type Output } from "./sender.ts";

export type { Message };

/** Which end of the connection this is: a client masks what it sends, a server does not. */
export type Role = "client" | "server";

/** What came from the peer. */
export type ProtocolEvent =
  | { type: "message"; data: Message }
  | { type: "ping" | "pong"; data: Uint8Array<ArrayBuffer> }
  /** The peer's Close frame. Ours has been written, or waits for the messages that were sent before it. */
  | { type: "close"; code: number; reason: string }
  /** The peer broke the protocol; a Close frame that says how has been written. */
  | { type: "failure"; error: ProtocolError };

/** How a {@linkcode Protocol} works. */
export interface ProtocolOptions {
  role: Role;
  /** The codec, when permessage-deflate was agreed on. */
  deflate?: PerMessageDeflate | undefined;
  /** Longest message taken, in bytes after decompression. */
  maxMessageSize: number;
  /** Pings answered before {@linkcode Protocol.allowPongs} is called again. */
  pongs: number;
  /**
   * Called with each whole frame, in the order in which the network gives or is given them. A frame that breaks
   * the protocol is told by the failure alone.
   */
  onFrame?: ((frame: FrameInfo) => void) | undefined;
}

/** How far the closing handshake has come (RFC 6455 section 7.1). */
export const Closing = {
  /** No Close frame yet. */
  NONE: 0,
  /** Ours has been written; the peer's is awaited. */
  SENT: 1,
  /** The peer's has come; ours waits for the messages before it. */
  RECEIVED: 2,
  /** Both frames have been exchanged. */
  DONE: 3,
  /** The peer broke the protocol: ours has been written, and nothing more is read. */
  FAILED: 4,
} as const;

type ClosingState = typeof Closing[keyof typeof Closing];

/** While this many bytes are unsent, pings are not answered: a peer that does not read gets no more. */
const MAX_UNSENT = 64 * 1024;

/** A connection's state machine. */
export class Protocol {
  readonly #pongs: number;
  #pongsLeft: number;
  /** The latest ping that was not answered; `undefined` when all were. */
  #unansweredPing: Uint8Array | undefined;
  #closing: ClosingState = Closing.NONE;
  /** Our Close frame, while it waits for the messages before it. */
  #close: { code: number; reason: string } | undefined;
  readonly #receiver: FrameReceiver;
  readonly #sender: FrameSender;

  constructor(options: ProtocolOptions) {
    const { deflate, onFrame } = options;
    const server = options.role === "server";
    this.#pongs = this.#pongsLeft = options.pongs;
    this.#receiver = new FrameReceiver(server, options.maxMessageSize, deflate, onFrame);
    this.#sender = new FrameSender(!server, deflate, onFrame);
  }

  /** How far the closing handshake has come. */
  get closing(): ClosingState {
    return this.#closing;
  }

  /** Whether both Close frames have been exchanged (RFC 6455 section 7.1.4). */
  get closedCleanly(): boolean {
    return this.#closing === Closing.DONE;
  }

  /** Whether anything that comes from now on is ignored. */
  get receivingEnded(): boolean {
    return this.#closing >= Closing.RECEIVED;
  }

  /** Whether nothing more can be sent. */
  get sendingEnded(): boolean {
    return this.#closing !== Closing.NONE || this.#close !== undefined;
  }

  /** Bytes of memory that unfinished messages and unsent output take. */
  get held(): number {
    return this.#receiver.held + this.#sender.held;
  }

  /** Bytes of memory that what has come and is not yet an event takes. */
  get heldReceived(): number {
    return this.#receiver.held;
  }

  /** Gives all memory back. */
  release(): void {
    this.#receiver.release();
    this.#sender.release();
  }

  // Receiving

  /**
   * Takes bytes from the network. Their memory is read and changed until {@linkcode keepInput} is called.
   */
  receive(bytes: Uint8Array<ArrayBuffer>): void {
    if (!this.receivingEnded) this.#receiver.push(bytes);
  }

  /** Copies the bytes that have not been read yet, so that the caller can use their memory again. */
  keepInput(): void {
    this.#receiver.keepInput();
  }

  /** Whether there may be another event in what has come. */
  get hasInput(): boolean {
    return this.#receiver.hasInput;
  }

  /** How many messages have come to their end. */
  get receivedMessages(): number {
    return this.#receiver.messages;
  }

  /** How many bytes these have, after decompression. */
  get receivedMessageBytes(): number {
    return this.#receiver.messageBytes;
  }

  /** Whether a message has begun and not ended. */
  get inMessage(): boolean {
    return this.#receiver.inMessage;
  }

  /**
   * The work that {@linkcode next} may do before it stops, in bytes inflated; it counts down.
   *
   * @default {Infinity}
   */
  get allowance(): number {
    return this.#receiver.allowance;
  }
  set allowance(value: number) {
    this.#receiver.allowance = value;
  }

  /** Whether {@linkcode next} stopped because the allowance was used up: call it again with another. */
  get stopped(): boolean {
    return this.#receiver.stopped;
  }

  /**
   * The next event in what has come.
   *
   * @returns The event, or `undefined` when more must come first, or the allowance is used up.
   */
  next(): ProtocolEvent | undefined {
    if (this.receivingEnded) return undefined;
    try {
      const received = this.#receiver.next();
      return received === undefined || received.type === "message"
        ? received
        : this.#takeControl(received);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.fail(error);
      return { type: "failure", error };
    }
  }

  #takeControl({ opcode, data }: Received & { type: "control" }): ProtocolEvent {
    switch (opcode) {
      case Opcode.PING:
        if (this.#pongsLeft-- > 0 && this.#sender.outputBytes < MAX_UNSENT) {
          this.#control(Opcode.PONG, data);
          this.#unansweredPing = undefined;
        } else {
          this.#unansweredPing = data;
        }
        return { type: "ping", data };
      case Opcode.PONG:
        return { type: "pong", data };
      default: {
        const { code, reason } = readClosePayload(data);
        this.#receiver.release();
        if (this.#closing === Closing.SENT) {
          this.#closing = Closing.DONE;
        } else {
          this.#closing = Closing.RECEIVED;
          this.#close ??= { code, reason: "" };
          this.#closeIfReady();
        }
        return { type: "close", code, reason };
      }
    }
  }

  // Sending

  /**
   * Sends a message; none after a Close frame (RFC 6455 section 5.5.1).
   *
   * @param compress Whether it may be compressed.
   */
  send(data: string | Uint8Array, compress: boolean): void {
    if (!this.sendingEnded) this.#sender.send(data, compress);
  }

  /** Sends a prepared message; none after a Close frame. */
  sendPrepared(message: PreparedMessage, compress: boolean): void {
    if (!this.sendingEnded) this.#sender.sendPrepared(message, compress);
  }

  /** Writes a Ping (RFC 6455 section 5.5.2) of up to 125 bytes. */
  ping(data: Uint8Array): void {
    this.#control(Opcode.PING, data);
  }

  /** Writes a Pong that no Ping asked for (RFC 6455 section 5.5.3) of up to 125 bytes. */
  pong(data: Uint8Array): void {
    this.#control(Opcode.PONG, data);
  }

  /**
   * Allows as many pongs as at the start. If pings are unanswered, answers the latest of them (RFC 6455
   * section 5.5.3).
   *
   * @returns True if it is still unanswered because too much output is unsent.
   */
  allowPongs(): boolean {
    this.#pongsLeft = this.#pongs;
    if (this.#unansweredPing === undefined) return false;
    if (this.#sender.outputBytes >= MAX_UNSENT) return true;
    this.#control(Opcode.PONG, this.#unansweredPing);
    this.#unansweredPing = undefined;
    this.#pongsLeft--;
    return false;
  }

  /**
   * Writes a Close frame, unless there is one already (RFC 6455 section 5.5.1). It is the last frame, and
   * follows all messages that were sent before.
   */
  close(code: number, reason: string): void {
    this.#close ??= { code, reason };
    this.#closeIfReady();
  }

  #closeIfReady(): void {
    const close = this.#close;
    if (close === undefined || this.#sender.busy) return;
    if (this.#closing !== Closing.NONE && this.#closing !== Closing.RECEIVED) return;
    // First, as `onFrame` may call back: nothing follows a Close frame.
    this.#closing = this.#closing === Closing.RECEIVED ? Closing.DONE : Closing.SENT;
    this.#sender.sendControl(Opcode.CLOSE, closePayload(close.code, close.reason));
  }

  /** Fails the connection (RFC 6455 section 7.1.7): a last Close frame, and nothing more is read. */
  fail(error: ProtocolError): void {
    this.#sender.abandon();
    this.#close = { code: error.code, reason: error.message };
    this.#closeIfReady();
    this.#closing = Closing.FAILED;
    this.#receiver.release();
  }

  #control(opcode: number, payload: Uint8Array): void {
    if (this.#closing === Closing.NONE) this.#sender.sendControl(opcode, payload);
  }

  /** Whether messages wait for {@linkcode step} to compress a long one. */
  get busy(): boolean {
    return this.#sender.busy;
  }

  /**
   * Compresses a part of a long message, or sends one that waited for it.
   *
   * @returns The work that was done, in the unit of {@linkcode allowance}.
   * @throws If there is no memory for it: the messages that waited are lost, and the connection must fail.
   */
  step(): number {
    const cost = this.#sender.step();
    this.#closeIfReady();
    return cost;
  }

  /** Bytes of messages that were sent, and not yet taken by {@linkcode takeOutput}. */
  get messageBytes(): number {
    return this.#sender.messageBytes;
  }

  /** Bytes of frames for {@linkcode takeOutput}, and of messages that are not yet frames. */
  get unsent(): number {
    return this.#sender.unsent;
  }

  /** Takes what is to be written to the network next, or nothing if there is nothing. */
  takeOutput(): Output | undefined {
    return this.#sender.takeOutput();
  }
}
