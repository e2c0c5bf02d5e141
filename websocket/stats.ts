/**
 * What connections have carried.
 *
 * @module
 */

/** What has gone one way. */
export interface Traffic {
  /** Whole messages. */
  readonly messages: number;
  /** Bytes of these messages as the program sees them, without compression; of text, as UTF-8. */
  readonly messageBytes: number;
  /**
   * Bytes of all frames as they go over the network, with compression and headers, Ping, Pong and Close frames
   * among them. What TLS adds is not in it: 22 bytes for each record of up to 16 KiB.
   */
  readonly wireBytes: number;
}

/** What one connection has carried since its opening handshake; a snapshot. */
export interface SocketStats {
  /** What has come from the peer. Messages count once they have been read to their end. */
  readonly received: Traffic;
  /** What the network has taken. Messages count once all that is written together with them has been taken. */
  readonly sent: Traffic;
}
