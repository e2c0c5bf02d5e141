/**
 * A registry of JSR on this machine: `deno publish` gives it a package, and `deno add` and the like take it from
 * there. It knows what Deno asks for, and checks nothing.
 *
 * @module
 */

import { join } from "node:path";
import { output } from "./project.ts";

/** The parts of a registry's answers that Deno needs. */
interface Published {
  /** The files by path, as `/mod.ts`. */
  files: Map<string, Uint8Array<ArrayBuffer>>;
  exports: Record<string, string>;
}

/** A registry. */
export class JsrRegistry implements AsyncDisposable {
  readonly #folder: string;
  readonly #published = new Map<string, Published>();
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  /** @param folder For its own use, empty. */
  constructor(folder: string) {
    this.#folder = folder;
    const options = { hostname: "127.0.0.1", port: 0, onListen() {} };
    this.#server = Deno.serve(options, (request) => this.#answer(request));
  }

  /** What `JSR_URL` is to be. */
  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}/`;
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    const api = /^\/api\/scopes\/([^/]+)\/packages\/([^/]+)(?:\/versions\/([^/]+))?$/.exec(
      pathname,
    );
    if (api) {
      const [, scope, name, version] = api;
      if (request.method === "POST") {
        await this.#publish(`@${scope}/${name}/${version}`, await request.bytes());
        return Response.json({ id: crypto.randomUUID(), status: "success", error: null });
      }
      const isNew = version !== undefined;
      return Response.json(isNew ? { code: "notFound", message: "" } : {}, {
        status: isNew ? 404 : 200,
      });
    }
    const [, name, path] = /^\/(@[^/]+\/[^/]+)\/(.+)$/.exec(pathname) ?? [];
    if (path === "meta.json") {
      const versions = this.#published.keys().filter((key) => key.startsWith(`${name}/`))
        .map((key) => [key.slice(name!.length + 1), {}] as const);
      return Response.json({ versions: Object.fromEntries(versions) });
    }
    const of = /^(.*)_meta\.json$/.exec(path ?? "")?.[1];
    const meta = this.#published.get(`${name}/${of}`);
    if (meta) {
      const manifest = await Promise.all(
        meta.files.entries().map(async ([path, bytes]) => {
          const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
          return [path, { size: bytes.length, checksum: `sha256-${hash.toHex()}` }] as const;
        }),
      );
      return Response.json({ manifest: Object.fromEntries(manifest), exports: meta.exports });
    }
    const [, version, file] = /^([^/]+)(\/.+)$/.exec(path ?? "") ?? [];
    const bytes = this.#published.get(`${name}/${version}`)?.files.get(file ?? "");
    if (bytes === undefined) return new Response("Not found", { status: 404 });
    const type = file!.endsWith(".ts") ? "text/typescript" : "text/plain";
    return new Response(bytes, { headers: { "Content-Type": type } });
  }

  async #publish(name: string, archive: Uint8Array<ArrayBuffer>): Promise<void> {
    const root = join(this.#folder, "package");
    await Deno.mkdir(root);
    await Deno.writeFile(`${root}.tgz`, archive);
    await output("tar", ["-xzf", `${root}.tgz`], root);
    const files = new Map<string, Uint8Array<ArrayBuffer>>();
    const read = async (path: string) => {
      for await (const entry of Deno.readDir(root + path)) {
        const below = `${path}/${entry.name}`;
        if (entry.isDirectory) await read(below);
        else files.set(below, await Deno.readFile(root + below));
      }
    };
    await read("");
    const { exports } = JSON.parse(new TextDecoder().decode(files.get("/deno.json")));
    this.#published.set(name, { files, exports });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}
