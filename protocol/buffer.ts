/**
 * A run of bytes that grows at its end, over memory that idle connections share.
 *
 * @module
 */

/** The first size of a buffer: most batches of frames fit, and a TLS record holds no more. */
export const POOLED_SIZE = 16 * 1024;

/**
 * With so many arrays of the first size in use, a buffer for no more than {@linkcode MAX_SMALL_SIZE} bytes takes what
 * it needs: a short message to each of 10,000 sockets would take 160 MB otherwise.
 */
const MAX_FIRST_ARRAYS = 256;
const MAX_SMALL_SIZE = 1024;

/** Larger arrays are powers of two and this: a message of as many bytes needs room for its header. */
const SLACK = 64;

/** Larger arrays are not kept for another use, since few messages need them. */
const MAX_POOLED_SIZE = 1024 * 1024 + SLACK;

/** The most bytes that are kept for another use, in arrays of all sizes. */
const POOL_LIMIT = 4 * 1024 * 1024;

const EMPTY: Uint8Array<ArrayBuffer> = new Uint8Array(0);

/** Arrays that are kept for another use, by their size: clearing a new one of 512 KiB takes 40 µs. */
const pool = new Map<number, Uint8Array<ArrayBuffer>[]>();
let pooledBytes = 0;

/** Arrays of the first size that there are, in use or kept. */
let firstArrays = 0;

/** Bytes appended and read in place. */
export class GrowingBuffer {
  /** The memory; only what lies before {@linkcode length} is data. */
  bytes: Uint8Array<ArrayBuffer> = EMPTY;
  /** Where the data starts. */
  start = 0;
  /** Where the data ends. */
  length = 0;
  /** Whether the memory belongs to other code, so that it must not be changed. */
  #borrowed = false;

  /** Bytes of memory that are its own. */
  get held(): number {
    return this.#borrowed ? 0 : this.bytes.length;
  }

  /** Makes room for `count` more bytes after {@linkcode length}. */
  reserve(count: number): void {
    const needed = this.length + count;
    if (needed <= this.bytes.length) return;
    // At least doubled, so that appending stays linear.
    this.grow(needed <= MAX_SMALL_SIZE && !hasFirstArray() ? 2 * needed : sizeFor(needed));
  }

  /** Moves the data into memory of `capacity` bytes. */
  grow(capacity: number): void {
    const old = this.bytes;
    this.bytes = pooled(capacity) ?? created(capacity);
    if (this.length > 0) this.bytes.set(old.subarray(0, this.length));
    if (!this.#borrowed) recycle(old);
    this.#borrowed = false;
  }

  /** Uses `data` without a copy. The first append copies it. The buffer must be empty. */
  borrow(data: Uint8Array<ArrayBuffer>): void {
    this.release();
    this.bytes = data;
    this.length = data.length;
    this.#borrowed = true;
  }

  /** Returns the data in memory that belongs to the caller, and leaves the buffer empty. */
  take(): Uint8Array<ArrayBuffer> {
    const { bytes, length } = this;
    if (bytes.length === length && length !== POOLED_SIZE && !this.#borrowed) {
      this.bytes = EMPTY;
      this.length = 0;
      return bytes;
    }
    const copy = bytes.slice(0, length);
    this.release();
    return copy;
  }

  /** Appends a copy of `data`. */
  append(data: Uint8Array): void {
    this.reserve(data.length);
    this.bytes.set(data, this.length);
    this.length += data.length;
  }

  /**
   * Forgets the data and gives the memory back. The array may be detached: nothing may read it any more.
   */
  release(): void {
    if (!this.#borrowed) recycle(this.bytes);
    this.bytes = EMPTY;
    this.start = this.length = 0;
    this.#borrowed = false;
  }
}

/** Memory for `needed` bytes; what is in it is anything. */
export function allocate(needed: number): Uint8Array<ArrayBuffer> {
  const size = sizeFor(needed);
  return pooled(size) ?? created(size);
}

/** The least of the sizes that the pool may have: powers of two, so that freed memory fits what is needed next. */
function sizeFor(needed: number): number {
  if (needed <= POOLED_SIZE) return POOLED_SIZE;
  let size = POOLED_SIZE;
  while (size + SLACK < needed) size *= 2;
  return size + SLACK;
}

/** Whether an array of the first size is left, or one more may be made. */
function hasFirstArray(): boolean {
  return firstArrays < MAX_FIRST_ARRAYS || (pool.get(POOLED_SIZE)?.length ?? 0) > 0;
}

function created(size: number): Uint8Array<ArrayBuffer> {
  if (size === POOLED_SIZE) firstArrays++;
  return new Uint8Array(size);
}

function pooled(size: number): Uint8Array<ArrayBuffer> | undefined {
  const bytes = pool.get(size)?.pop();
  if (bytes !== undefined) pooledBytes -= size;
  return bytes;
}

/**
 * Takes back memory that {@linkcode allocate} gave, for another use: nothing may read it any more. An array of
 * another size is detached.
 */
export function recycle(bytes: Uint8Array<ArrayBuffer>): void {
  const size = bytes.length;
  const power = size - SLACK;
  const ofReserve = size === POOLED_SIZE || power >= POOLED_SIZE && (power & power - 1) === 0;
  if (!ofReserve || size > MAX_POOLED_SIZE || pooledBytes + size > POOL_LIMIT) {
    if (size === POOLED_SIZE) firstArrays--;
    // Frees the memory at once, and not when the engine next collects its garbage.
    if (size >= POOLED_SIZE) bytes.buffer.transfer(0);
    return;
  }
  pooledBytes += size;
  const arrays = pool.get(size);
  if (arrays === undefined) pool.set(size, [bytes]);
  else arrays.push(bytes);
}
