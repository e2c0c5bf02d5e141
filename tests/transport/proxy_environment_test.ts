import { assertEquals, assertStringIncludes } from "@std/assert";
import { proxyVariable } from "../../transport/proxy_environment.ts";
import { projectPath, RUNNABLE } from "../programs.ts";
import { echo } from "../websocket/peers.ts";
import { TestProxy } from "./test_proxy.ts";

function variable(url: string, environment: Record<string, string>): string | undefined {
  return proxyVariable(new URL(url), (name) => environment[name])?.name;
}

// The expectations of this file are what Deno 2.9.6 was seen to do with its own WebSocket.

Deno.test("proxyVariable() takes HTTP_PROXY for ws:, HTTPS_PROXY for wss:, and ALL_PROXY before them", () => {
  const both = { HTTP_PROXY: "a", HTTPS_PROXY: "b" };
  assertEquals(variable("ws://h/", both), "HTTP_PROXY");
  assertEquals(variable("wss://h/", both), "HTTPS_PROXY");
  assertEquals(variable("ws://h/", { HTTPS_PROXY: "b" }), undefined);
  assertEquals(variable("wss://h/", { HTTP_PROXY: "a" }), undefined);
  for (const url of ["ws://h/", "wss://h/"]) {
    assertEquals(variable(url, { ...both, ALL_PROXY: "c" }), "ALL_PROXY");
    assertEquals(variable(url, { ...both, all_proxy: "c" }), "all_proxy");
    assertEquals(variable(url, {}), undefined);
  }
});

Deno.test("proxyVariable() takes a variable in lower case if there is none in upper case, or an empty one", () => {
  assertEquals(variable("ws://h/", { http_proxy: "a" }), "http_proxy");
  assertEquals(variable("ws://h/", { http_proxy: "a", HTTP_PROXY: "b" }), "HTTP_PROXY");
  assertEquals(variable("ws://h/", { http_proxy: "a", HTTP_PROXY: "" }), "http_proxy");
});

Deno.test("proxyVariable() does not believe HTTP_PROXY in a CGI program", () => {
  const cgi = { REQUEST_METHOD: "GET", HTTP_PROXY: "a", http_proxy: "a" };
  assertEquals(variable("ws://h/", cgi), undefined);
  assertEquals(variable("ws://h/", { ...cgi, ALL_PROXY: "b" }), "ALL_PROXY");
  assertEquals(variable("wss://h/", { ...cgi, HTTPS_PROXY: "b" }), "HTTPS_PROXY");
});

Deno.test("proxyVariable() reaches the hosts of NO_PROXY directly", () => {
  const cases: [noProxy: string, host: string, direct: boolean][] = [
    ["a.example", "a.example", true],
    ["A.example", "a.EXAMPLE", true],
    ["example", "a.example", true],
    [".example", "a.example", true],
    [".a.example", "a.example", true],
    ["x, a.example", "a.example", true],
    ["*", "a.example", true],
    ["*", "127.0.0.1", true],
    ["", "a.example", false],
    [",", "a.example", false],
    [".", "a.example", false],
    ["ample", "a.example", false],
    ["*.example", "a.example", false],
    ["a.example:80", "a.example", false],
    ["x a.example", "a.example", false],
    ["127.0.0.1", "127.0.0.1", true],
    ["127.0.0.0/8", "127.1.2.3", true],
    ["127.0.0.0/33", "127.1.2.3", false],
    ["127.0.0.0/x", "127.1.2.3", false],
    ["10.0.0.0/8", "127.0.0.1", false],
    ["0.1", "127.0.0.1", false],
    ["localhost", "127.0.0.1", false],
    ["::1", "[::1]", true],
    ["fd00::/8", "[fd12::1]", true],
    ["fd00::/8", "[fe80::1]", false],
    ["::/0", "127.0.0.1", false],
    ["[::1]", "[::1]", false],
  ];
  for (const [noProxy, host, direct] of cases) {
    const environment = { ALL_PROXY: "p", NO_PROXY: noProxy };
    const wanted = direct ? undefined : "ALL_PROXY";
    assertEquals(variable(`ws://${host}:80/`, environment), wanted, `${noProxy} for ${host}`);
  }
});

Deno.test("proxyVariable() reads no_proxy only where there is no NO_PROXY", () => {
  assertEquals(variable("ws://h/", { ALL_PROXY: "p", no_proxy: "h" }), undefined);
  assertEquals(variable("ws://h/", { ALL_PROXY: "p", no_proxy: "h", NO_PROXY: "" }), "ALL_PROXY");
});

const PROXIES = ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"].flatMap(
  (name) => [name, name.toLowerCase()],
);
const NO_PROXIES = Object.fromEntries(PROXIES.map((name) => [name, ""]));
const ENV = `--allow-env=${[...PROXIES, "REQUEST_METHOD"]}`;

/** What a WebSocket of ours to `url` does, with an environment and permissions. */
async function dialled(
  url: string,
  env: Record<string, string>,
  permissions: string[],
  options = {},
): Promise<string> {
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-prompt",
      ...permissions,
      projectPath("tests/transport/dialler.ts"),
      url,
      JSON.stringify(options),
    ],
    // An empty variable counts as absent: those of whoever runs the tests must not reach the program.
    env: { ...NO_PROXIES, DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1", ...env },
  }).output();
  return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
}

Deno.test({
  name:
    "WebSocket uses the proxy of the environment, where it may read that and is not told otherwise",
  ignore: !RUNNABLE,
  async fn() {
    await using server = echo();
    await using proxy = new TestProxy();
    const env = { ALL_PROXY: "", NO_PROXY: "none.example", http_proxy: proxy.url("u:s3cret") };
    const { url } = server;
    const net = "--allow-net=127.0.0.1";
    assertEquals(await dialled(url, env, [net, ENV]), "open\n");
    assertEquals(proxy.heads.length, 1);
    assertEquals(await dialled(url, env, [net]), "open\n");
    assertEquals(await dialled(url, env, [net, ENV], { proxy: null }), "open\n");
    assertEquals(await dialled(url, { ...env, NO_PROXY: "127.0.0.0/8" }, [net, ENV]), "open\n");
    assertEquals(proxy.heads.length, 1);
    await using other = new TestProxy();
    const options = { proxy: { url: other.url() } };
    assertEquals(await dialled(url, env, [net, ENV], options), "open\n");
    assertEquals([proxy.heads.length, other.heads.length], [1, 1]);
  },
});

Deno.test({
  name: "WebSocket fails with a proxy of the environment that it cannot use, and shows no secret",
  ignore: !RUNNABLE,
  async fn() {
    for (
      const [value, problem] of [
        ["socks5://u:s3cret@h", "is socks5:, must be http: or https:"],
        ["http://u:s3cret@[", "is malformed"],
      ]
    ) {
      const printed = await dialled("ws://127.0.0.1:1/", { ALL_PROXY: value! }, [
        "--allow-net=127.0.0.1",
        ENV,
      ]);
      assertStringIncludes(printed, `Cannot connect to "127.0.0.1": proxy of ALL_PROXY ${problem}`);
      assertEquals(printed.includes("s3cret"), false);
    }
  },
});

Deno.test({
  name: "WebSocket needs the permission for the server and for the proxy",
  ignore: !RUNNABLE,
  async fn() {
    await using server = echo();
    await using proxy = new TestProxy();
    const options = { proxy: { url: proxy.url() } };
    const [to, by] = [new URL(server.url).host, `127.0.0.1:${proxy.port}`];
    for (const [granted, asked] of [[to, by], [by, to]] as const) {
      const printed = await dialled(server.url, {}, [`--allow-net=${granted}`], options);
      assertStringIncludes(printed, `Requires net access to "${asked}"`);
    }
    assertEquals(await dialled(server.url, {}, [`--allow-net=${to},${by}`], options), "open\n");
    assertEquals(proxy.heads.length, 1);
  },
});
