/**
 * A run of bytes that grows at its end, over memory that idle connections share.
 *
 * @module
 */

/** What a buffer starts with: most batches of frames fit, and a socket's write takes no more at once. */
export const POOLED_SIZE = 16 * 1024;

/** How many arrays wait for their next use: one for each connection busy at the same moment. */
const POOL_LIMIT = 64;

const EMPTY: Uint8Array<ArrayBuffer> = new Uint8Array(0);

const pool: Uint8Array<ArrayBuffer>[] = [];

/** Bytes appended and read in place. */
export class GrowingBuffer {
  /** The memory; only what lies before {@linkcode length} is data. */
  bytes: Uint8Array<ArrayBuffer> = EMPTY;
  /** Where the data ends. */
  length = 0;

  /** Makes room for `count` more bytes after {@linkcode length}. */
  reserve(count: number): void {
    const needed = this.length + count;
    if (needed <= this.bytes.length) return;
    // At least doubled, so that appending stays linear.
    this.grow(needed <= POOLED_SIZE ? POOLED_SIZE : Math.max(needed, 2 * this.bytes.length));
  }

  /** Moves the data into memory of `capacity` bytes. */
  grow(capacity: number): void {
    const old = this.bytes;
    this.bytes = capacity === POOLED_SIZE
      ? pool.pop() ?? new Uint8Array(POOLED_SIZE)
      : new Uint8Array(capacity);
    if (this.length > 0) this.bytes.set(old.subarray(0, this.length));
    recycle(old);
  }

  /** The data in memory of its own, which this buffer then no longer has. */
  take(): Uint8Array<ArrayBuffer> {
    const { bytes, length } = this;
    if (bytes.length === length && length !== POOLED_SIZE) {
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

  /** Forgets the data and gives the memory back. */
  release(): void {
    recycle(this.bytes);
    this.bytes = EMPTY;
    this.length = 0;
  }
}

function recycle(bytes: Uint8Array<ArrayBuffer>): void {
  if (bytes.length === POOLED_SIZE && pool.length < POOL_LIMIT) pool.push(bytes);
}
