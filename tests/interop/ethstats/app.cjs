// A server as ethstats-server is: nodes report at /api, pages ask at /primus. It uses the same packages, and so has the
// same messages. Usage: WS_SECRET=SECRET PORT=NUMBER node app.cjs
const http = require("node:http");
const Primus = require("primus");

const server = http.createServer();
const open = (pathname) => new Primus(server, { transformer: "websockets", pathname, parser: "JSON" });
const api = open("/api");
api.plugin("emit", require("primus-emit"));
api.plugin("spark-latency", require("primus-spark-latency"));
const pages = open("/primus");
pages.plugin("emit", require("primus-emit"));

const nodes = new Map();

api.on("connection", (spark) => {
  let shown; // What pages see of the node, once it has logged in.
  spark.on("hello", ({ id, info, secret }) => {
    if (secret !== process.env.WS_SECRET) return spark.end(undefined, { reconnect: false });
    shown = { id, info, stats: { active: true }, history: [] };
    nodes.set(id, shown);
    spark.emit("ready");
  });
  spark.on("node-ping", ({ clientTime }) => spark.emit("node-pong", { clientTime, serverTime: Date.now() }));
  spark.on("latency", ({ latency }) => {
    shown.stats.latency = latency;
    spark.emit("history", { min: 0, max: 2, list: [2, 1, 0] });
  });
  spark.on("block", ({ block }) => (shown.stats.block = block));
  for (const kind of ["stats", "pending"]) spark.on(kind, ({ stats }) => Object.assign(shown.stats, stats));
  spark.on("history", ({ history }) => (shown.history = history));
  spark.on("end", () => shown && (shown.stats.active = false));
});

pages.on("connection", (page) => page.on("ready", () => page.emit("init", { nodes: [...nodes.values()] })));

server.listen(process.env.PORT);
