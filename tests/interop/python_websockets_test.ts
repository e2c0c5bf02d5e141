import { projectPath, RUNNABLE } from "../programs.ts";
import { exchangeWith } from "./exchange.ts";
import { type Peer, runProgram, succeeds } from "./peer.ts";

/** Debian's, for which its package python3-websockets is installed. */
const PYTHON = "/usr/bin/python3";

const peer: Peer = {
  name: "python3-websockets",
  ignore: !RUNNABLE || !await succeeds(PYTHON, ["-c", "import websockets"]),
  run: (orders) => runProgram(PYTHON, [projectPath("tests/interop/python/peer.py")], orders),
};

// It writes no text that is not UTF-8, and always closes with a code.
const abilities = { invalid: false, closeWithoutCode: false };

exchangeWith(peer, "server", abilities);
exchangeWith(peer, "client", abilities);
