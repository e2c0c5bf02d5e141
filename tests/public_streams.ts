/**
 * Loaded before tests (`deno test --preload`), has them run over the public streams of sockets, as where the
 * native handles do not work.
 *
 * @module
 */

import { chooseWay } from "../transport/sockets.ts";

chooseWay("public");
