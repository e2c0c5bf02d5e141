import { assertEquals, assertMatch } from "@std/assert";
import {
  brought,
  denoDir,
  type Ending,
  Folder,
  freshClone,
  listeningPort,
  once,
  Program,
  projectPath,
  serveHttp,
} from "./programs.ts";
import { generateCertificates, writeCertificates } from "../certs/generate.ts";

/** A user whose home is empty but for the programs, installed as `deno task install` does it. */
class User implements AsyncDisposable {
  readonly #folder = new Folder();
  /** The user's variables. */
  env: Record<string, string> = {};
  /** An empty folder. */
  readonly elsewhere = `${this.#folder.path}/some where`;
  readonly home = `${this.#folder.path}/a home`;

  static async withPrograms(
    env: (home: string) => Record<string, string>,
    clone = projectPath(""),
  ): Promise<User> {
    const user = new User();
    const bin = `${user.#folder.path}/bin`;
    for (const path of [bin, user.home, user.elsewhere]) await Deno.mkdir(path);
    // The programs are started by a `deno` of the path.
    await Deno.symlink(Deno.execPath(), `${bin}/deno`);
    user.env = {
      HOME: user.home,
      DENO_DIR: await denoDir(),
      DENO_INSTALL_ROOT: user.home,
      PATH: `${bin}:${Deno.env.get("PATH")}`,
      XDG_DATA_HOME: "",
      ...env(user.home),
    };
    await user.install(clone);
    return user;
  }

  /** Installs the programs from a clone. Returns what is told besides where they are. */
  async install(clone: string, env: Record<string, string> = {}): Promise<string[]> {
    const options = { cwd: clone, env: { ...this.env, ...env } };
    await using program = new Program(Deno.execPath(), ["task", "--quiet", "install"], options);
    const { code, stdout, stderr } = await program.end();
    const paths = ["wss-server", "wss-client"].map((name) => `${this.home}/bin/${name}`);
    assertEquals([code, stdout], [0, paths], stderr.join("\n"));
    return stderr;
  }

  start(name: string, args: string[]): Program {
    return new Program(`${this.home}/bin/${name}`, args, { cwd: this.elsewhere, env: this.env });
  }

  async run(name: string, args: string[]): Promise<Ending> {
    await using program = this.start(name, args);
    return await program.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#folder[Symbol.asyncDispose]();
  }
}

/** What is added in the file of an installed program. */
async function addPermission(user: User, name: string, permission: string): Promise<void> {
  const path = `${user.home}/bin/${name}`;
  const file = await Deno.readTextFile(path);
  await Deno.writeTextFile(path, file.replace(" run ", ` run ${permission} `));
}

const ADVICE =
  /; add (--allow-\S+) \(of an installed program, in the file ~\/\.deno\/bin\/(wss-\w+)\)$/;

once("wss-client and wss-server name the permission to add, and it is enough", async () => {
  await using user = await User.withPrograms(() => ({}));
  const { cert, key, ca } = await generateCertificates();
  for (const [name, text] of Object.entries({ cert, key, ca })) {
    await Deno.writeTextFile(`${user.elsewhere}/${name}.pem`, text);
  }
  await using server = await serveHttp((request) => {
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.onmessage = ({ data }) => socket.send(data);
    return response;
  }, { cert, key });
  const url = `wss://localhost:${server.port}/`;
  const starts: [name: string, args: string[]][] = [
    ["wss-client", [url, "--cacert=ca.pem"]],
    ["wss-client", [url, "--cacert=ca.pem", "--output=out"]],
    ["wss-server", ["--port=0", "--cert=cert.pem", "--key=key.pem"]],
  ];
  for (const [name, given] of starts) {
    const args = [...given, "--lang=en"];
    const refused = await user.run(name, args);
    const [, permission, file] = ADVICE.exec(refused.stderr[0]!) ?? [];
    assertEquals([refused.code, file], [1, name], refused.stderr.join("\n"));
    await addPermission(user, name, permission!);
    await using program = user.start(name, args);
    if (name === "wss-server") await listeningPort(program);
    else assertEquals((await program.end()).code, 0);
  }
});

const DATA: [string, (home: string) => Record<string, string>, string][] = [
  ["~/.local/share", () => ({}), ".local/share"],
  ["XDG_DATA_HOME", (home) => ({ XDG_DATA_HOME: `${home}/data` }), "data"],
];

for (const [name, env, data] of DATA) {
  once(`deno task install gives programs for any folder, certificates in ${name}`, async () => {
    await using user = await User.withPrograms(env);
    await using server = user.start("wss-server", ["--port=0", "--workers=2"]);
    const port = await listeningPort(server);
    for (const host of ["127.0.0.1", "localhost"]) {
      const { code, stdout } = await user.run("wss-client", [`wss://${host}:${port}/ws`]);
      assertEquals(code, 0);
      assertEquals(stdout.at(-1), "Mensagem recebida do servidor: Retorno do servidor!");
    }
    server.kill("SIGTERM");
    assertEquals((await server.end()).code, 0);

    assertEquals([...Deno.readDirSync(user.elsewhere)], []);
    const made = [...Deno.readDirSync(`${user.home}/${data}/permessage-deflate`)];
    assertEquals(made.map(({ name }) => name).sort(), ["ca.crt", "server.crt", "server.key"]);
  });
}

once("deno task install says what is not in PATH", async () => {
  await using user = await User.withPrograms(() => ({}));
  const install = (PATH: string) => user.install(projectPath(""), { PATH });
  const bin = `${user.home}/bin`;
  const deno = user.env.PATH!.split(":")[0]!;
  const noPrograms = `${bin} is not in PATH; write: export PATH="${bin}:$PATH"`;
  const noDeno =
    "The programs are run by deno, which is not in PATH; write: npm install --global deno";
  assertEquals(await install(`${deno}:${bin}`), []);
  assertEquals(await install(deno), [noPrograms]);
  // As npx has it, which takes it away again.
  const npx = `${user.home}/_npx/1/node_modules/.bin`;
  await Deno.mkdir(npx, { recursive: true });
  await Deno.symlink(Deno.execPath(), `${npx}/deno`);
  assertEquals(await install(npx), [noPrograms, noDeno]);
});

once("wss-client trusts the user's authority for this machine's own names alone", async () => {
  await using user = await User.withPrograms(() => ({}));
  const { ca, ...pair } = await brought({ names: ["localhost", "a.example"] });
  const folder = `${user.home}/.local/share/permessage-deflate`;
  await writeCertificates(folder, { ca, ...pair });
  await using server = await serveHttp((request) => {
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.onmessage = () => socket.send("Retorno do servidor!");
    return response;
  }, pair);
  const { port } = server;
  const own = await user.run("wss-client", [`wss://localhost:${port}/`, "-4"]);
  assertEquals([own.code, own.stdout.length], [0, 2]);
  const args = [`wss://a.example:${port}/`, `--resolve=a.example:${port}:127.0.0.1`];
  const theirs = await user.run("wss-client", args);
  assertEquals(theirs.code, 1);
  assertMatch(theirs.stderr[0]!, /o certificado do servidor não é de uma autoridade conhecida/);
});

once("wss-server whose certificate has expired names the folder to remove", async () => {
  await using user = await User.withPrograms(() => ({}));
  const folder = `${user.home}/.local/share/permessage-deflate`;
  await writeCertificates(folder, await generateCertificates({ days: -1 }));
  const { code, stderr } = await user.run("wss-server", ["--port=0", "--lang=en"]);
  assertEquals([code, stderr.length], [1, 1]);
  assertMatch(
    stderr[0]!,
    new RegExp(`remove the folder "${folder}", and the server makes another`),
  );
});

once(
  "deno task install works twice and from a path with spaces, and can be taken back",
  async () => {
    await using clone = await freshClone();
    await using folder = new Folder();
    const path = `${folder.path}/a clone`;
    await Deno.symlink(clone.path, path);
    await using user = await User.withPrograms(() => ({}), path);
    await user.install(path);
    await using server = user.start("wss-server", ["--port=0"]);
    const { code } = await user.run("wss-client", [
      `wss://localhost:${await listeningPort(server)}/ws`,
    ]);
    assertEquals(code, 0);

    for (const name of ["wss-server", "wss-client"]) {
      const options = { cwd: user.elsewhere, env: user.env };
      const args = ["uninstall", "--global", name];
      await using program = new Program(Deno.execPath(), args, options);
      assertEquals((await program.end()).code, 0);
    }
    assertEquals([...Deno.readDirSync(`${user.home}/bin`)], []);
  },
);
