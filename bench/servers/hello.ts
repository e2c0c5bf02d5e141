/**
 * The least a server on Deno can be: the floor of the time to the first answer.
 *
 * @module
 */

import { announce, LOCAL, serverArguments } from "./server.ts";

const { cert, key } = serverArguments();

Deno.serve({ ...LOCAL, cert, key, onListen: announce }, () => new Response("hello"));
