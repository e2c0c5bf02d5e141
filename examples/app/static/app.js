const byId = (id) => document.getElementById(id);
const say = (text) => byId("status").textContent = text;

const RECONNECT_MS = 2000;

/** Shows the form, or what is behind it. */
async function show() {
  const response = await fetch("/api/session").catch(() => undefined);
  // The server is away.
  if (response === undefined) return void setTimeout(show, RECONNECT_MS);
  byId("login").hidden = response.ok;
  byId("inside").hidden = !response.ok;
  if (!response.ok) return;
  byId("user").textContent = (await response.json()).user;
  listen();
}

/** Shows what the server tells, until the connection ends. */
function listen() {
  const socket = new WebSocket(`wss://${location.host}/api/live`);
  socket.onmessage = ({ data }) => {
    const { user, size } = JSON.parse(data);
    const item = document.createElement("li");
    item.textContent = `${user} uploaded ${size} bytes`;
    byId("live").prepend(item);
  };
  // 4001 says that the session has ended.
  socket.onclose = ({ code }) => code === 4001 ? show() : setTimeout(show, RECONNECT_MS);
}

byId("login").onsubmit = async (event) => {
  event.preventDefault();
  const form = event.target;
  const response = await fetch("/login", {
    method: "POST",
    body: new URLSearchParams(new FormData(form)),
  })
    .catch(() => undefined);
  say(response?.ok ? "" : await response?.text() ?? "The server is away");
  if (!response?.ok) return;
  form.reset();
  await show();
};

byId("logout").onclick = () => fetch("/api/logout", { method: "POST" });

// `fetch` tells nothing of an upload's progress.
byId("upload").onsubmit = (event) => {
  event.preventDefault();
  const [file] = event.target.elements.file.files;
  const progress = byId("progress");
  const request = new XMLHttpRequest();
  request.upload.onprogress = ({ loaded, total }) => {
    progress.max = total;
    progress.value = loaded;
  };
  request.onload = () => say(request.status === 201 ? "Uploaded" : request.responseText);
  request.onerror = () => say("The upload failed");
  request.open("PUT", "/api/upload");
  request.send(file);
  say("Uploading");
};

await show();
