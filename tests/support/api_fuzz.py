"""Random requests for GraphQL, WebSocket and the IPC socket: correct ones, and ones that break each rule of their format.

All randomness comes from a seed. `python -m tests.support.api_fuzz ROUNDS [SEED]` runs a long form.
"""

import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from urllib.parse import quote

import trio

from lacnode.graphql.server import GraphQlServer
from lacnode.graphql.settings import GraphQlSettings
from lacnode.metrics.process_series import resident_bytes
from lacnode.rpc.settings import IpcSettings
from tests.support.logs import captured_logs
from tests.support.rpc_node import request, rpc_node

PATIENCE_SECONDS = 60.0
"""Seconds after which an answer or a close is given up on. The node's own bounds are shorter."""

READ_BYTES = 65_536
MAX_GROWTH_BYTES = 300 * 2**20
"""Memory that the process may gain, attackers and their texts included."""

# -- texts ---------------------------------------------------------------------------------------------------------

NASTY = (
    "\r",
    "\n",
    "\0",
    '"""',
    '\\"""',
    '"',
    "\\",
    "\\u",
    "\\u{110000}",
    "\\uD800",
    "\ufeff",
    "\u2028",
    "\U0001f600",
    "#",
    "#\r",
    "...",
    "$",
    "@",
    "&",
    "|",
    "!",
    ",",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "-",
    "0x",
    "1e999",
    "null",
    "mutation",
    "subscription",
    "fragment",
    "on",
    "extend type",
    "__typename",
)
LITERALS = (
    "0",
    "-1",
    "1.5",
    "1e400",
    "9" * 400,
    "0x" + "f" * 300,
    '"0x1"',
    '"0x"',
    '"latest"',
    '"\\u0000"',
    '"\\uD83D\\uDE00"',
    '"""a\\"""b"""',
    '""',
    "null",
    "true",
    "ENUM",
    "[]",
    "[[1]]",
    "{}",
    "{a: 1}",
    "{fromBlock: 0, toBlock: 99999999}",
    "$v",
    "$w",
)
FIELDS = (
    "block",
    "blocks",
    "transaction",
    "logs",
    "pending",
    "gasPrice",
    "syncing",
    "chainID",
    "number",
    "hash",
    "parent",
    "miner",
    "ommers",
    "transactions",
    "account",
    "balance",
    "call",
    "estimateGas",
    "from",
    "to",
    "inputData",
    "status",
    "storage",
    "__typename",
    "__schema",
    "__type",
    "types",
    "fields",
    "name",
    "ofType",
    "sendRawTransaction",
    "no_such_field",
)
ARGUMENTS = ("number", "hash", "filter", "data", "address", "index", "slot", "from", "to", "name", "block", "none")
TYPES = ("Query", "Block", "Transaction", "Account", "Log", "Mutation", "__Type", "None", "Long", "Bytes32", "CallData")
DIRECTIVES = (
    "@skip(if: true)",
    "@include(if: $v)",
    "@skip",
    "@include(if: 1)",
    "@none(a: {b: [1]})",
    "@skip(if: false)",
)


def document(rng: Random) -> str:
    """A GraphQL document, which may have any mistake."""
    kinds = (_valid_document, _deep_document, _fragments_document, _long_document, _text_document)
    text = rng.choices(kinds, (8, 2, 3, 1, 2))[0](rng)
    return _mutated(rng, text) if rng.random() < 0.5 else text


def _valid_document(rng: Random) -> str:
    head = rng.choice(("", "query ", "query Q ", "mutation ", "subscription ", "query Q($v: Long, $w: [Bytes32!]!) "))
    second = rng.choice(("", "", " query R { gasPrice }", " { chainID }", " fragment F on Block { number ...F }"))
    return head + _selection(rng, rng.randint(1, 4)) + second


def _selection(rng: Random, depth: int) -> str:
    parts = [_field(rng, depth) for _ in range(rng.randint(1, 4))]
    return "{ " + rng.choice((" ", ", ", "\n", "\r", " # a\r")).join(parts) + " }"


def _field(rng: Random, depth: int) -> str:
    kind = rng.random()
    if kind < 0.08:
        return f"... on {rng.choice(TYPES)} {_selection(rng, max(1, depth - 1))}"
    if kind < 0.12:
        return "...F"
    alias = rng.choice(("", "", "", "a: ", "b: ", "__a: "))
    arguments = ""
    if rng.random() < 0.4:
        given = [f"{rng.choice(ARGUMENTS)}: {rng.choice(LITERALS)}" for _ in range(rng.randint(1, 3))]
        arguments = f"({', '.join(given)})"
    directive = f" {rng.choice(DIRECTIVES)}" if rng.random() < 0.15 else ""
    inner = f" {_selection(rng, depth - 1)}" if depth > 0 and rng.random() < 0.7 else ""
    return f"{alias}{rng.choice(FIELDS)}{arguments}{directive}{inner}"


def _deep_document(rng: Random) -> str:
    depth = rng.choice((20, 99, 100, 101, 150, 333, 1_000, 30_000))
    hidden = rng.choice(("", "#\r", '"""\\\n""" ', '"""a\\\\""" ', '"" '))
    opening, middle, closing = rng.choice(
        (
            ("{block", "{number}", "}"),
            ("...{", "gasPrice", "}"),
            ("{a(x:[", "1", "])}"),
            ("a(x: {a: [", "1", "]})"),
            ('{__type(name:"A"){ofType', "{name}", "}}"),
        )
    )
    tail = rng.choice(("", '#"""', "{"))
    return "{ " + hidden + opening * depth + middle + closing * rng.choice((depth, depth - 1, 0)) + " }" + tail


def _fragments_document(rng: Random) -> str:
    count = rng.choice((2, 5, 30, 200))
    spreads = rng.choice(("...F{0} ...F{0}", "...F{0}", "parent {{ ...F{0} }} a: parent {{ ...F{0} }}"))
    bodies = [
        f"fragment F{one} on Block {{ {spreads.format(rng.randrange(count) if rng.random() < 0.2 else (one + 1))} number }}"
        for one in range(count)
    ]
    return "{ block { ...F0 } } " + " ".join(bodies) + f" fragment F{count} on Block {{ hash }}"


def _long_document(rng: Random) -> str:
    count = rng.choice((300, 5_000, 60_000))
    unit = rng.choice(("a: gasPrice ", '\\"""\n', "#\r", '"" ', "gasPrice @skip(if: true) ", "[", "...F ", "$", '"""'))
    return "{ " + unit * count + "}"


def _text_document(rng: Random) -> str:
    return "".join(rng.choice(NASTY + FIELDS + LITERALS) + rng.choice(("", " ")) for _ in range(rng.randint(0, 60)))


def _mutated(rng: Random, text: str) -> str:
    for _ in range(rng.randint(1, 4)):
        start = rng.randint(0, len(text))
        end = min(len(text), start + rng.choice((0, 1, 5, 50)))
        text = text[:start] + rng.choice((rng.choice(NASTY), text[start:end] * 2, "")) + text[end:]
    return text


def json_text(rng: Random) -> bytes:
    """A JSON-RPC request, a batch, or something close to one."""
    methods = ("eth_blockNumber", "eth_getBlockByNumber", "eth_call", "eth_subscribe", "eth_unsubscribe", "none", "")
    values: tuple[object, ...] = (
        None,
        1,
        -1,
        2**70,
        1.5,
        "",
        "0x",
        "latest",
        "\ud800",
        "\0",
        [],
        {},
        [[]],
        {"a": [1]},
        True,
        "x" * 5_000,
    )
    one: object = request(rng.choice(methods), *(rng.choice(values) for _ in range(rng.randint(0, 3))))
    if rng.random() < 0.3:
        one = {rng.choice(("jsonrpc", "id", "method", "params", "none")): rng.choice(values) for _ in range(3)}
    if rng.random() < 0.2:
        one = [one] * rng.choice((0, 1, 3, 300))
    text = json.dumps(one, ensure_ascii=rng.random() < 0.5).encode(errors="surrogatepass")
    kind = rng.random()
    if kind < 0.1:
        depth = rng.choice((500, 1_023, 1_025, 100_000))
        return b'{"params":' + b"[" * depth + b"]" * rng.choice((depth, 0)) + b"}"
    if kind < 0.4:
        position = rng.randint(0, len(text))
        junk = rng.choice((b"\0", b"\xff\xfe", b"\\", b'"', b"}", b"]", b"{", b"\xc0\x80", b"1e999", b""))
        text = text[:position] + junk + text[position + rng.choice((0, 1, 9)) :]
    return text


# -- one attack on each port -----------------------------------------------------------------------------------------


def graphql_request(rng: Random) -> bytes:
    """An HTTP request with a GraphQL request."""
    text = document(rng)
    variables = rng.choice(
        ("{}", '{"v":1}', '{"v":' + "[" * 900 + "]" * 900 + "}", "[1]", "{", '{"v":"\\ud800"}', "null")
    )
    operation = rng.choice(("", "", "Q", "R", "\0", "none"))
    if rng.random() < 0.3:
        query = f"query={quote(text[:8_000])}&variables={quote(variables)}&operationName={quote(operation)}"
        query = query + "&a=1" * rng.choice((0, 0, 30))
        if rng.random() < 0.2:
            query = query.replace("%", rng.choice(("%%", "%f", "%ff")), 3)
        return f"GET /graphql?{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("ascii")
    kind = rng.choice(
        (
            "application/json",
            "application/json",
            "application/json; charset=utf-16",
            "application/graphql",
            "text/plain",
            "multipart/form-data; boundary=x",
            "application/x-www-form-urlencoded",
            "\xff",
            "",
        )
    )
    body = text.encode(errors="surrogatepass")
    if kind.startswith("application/json"):
        members: object = {"query": text, "operationName": operation or None}
        if rng.random() < 0.1:
            members = rng.choice(([], [members], {"query": 1}, {"query": None}, {"variables": 1, "query": text}, "a"))
        body = json.dumps(members).encode()
        if isinstance(members, dict) and rng.random() < 0.5:
            body = body[:-1] + b',"variables":' + variables.encode() + b"}"
    if rng.random() < 0.1:
        body = body[: rng.randint(0, len(body))] + rng.choice((b"\xff", b"\xed\xa0\x80", b"\0"))
    head = f"POST /graphql HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
    return (head + f"Content-Type: {kind}\r\n\r\n").encode("latin-1") + body


def upgrade(rng: Random) -> bytes:
    """The head of an upgrade, which may be wrong."""
    lines = [
        "GET / HTTP/1.1",
        "Host: localhost",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    if rng.random() < 0.3:
        offer = rng.choice(
            (
                "permessage-deflate",
                "permessage-deflate; server_max_window_bits=99",
                "permessage-deflate; client_max_window_bits; client_max_window_bits=x",
                "x-webkit-deflate-frame, " * 100,
                "; =;,,",
                "\xff",
            )
        )
        lines.append(f"Sec-WebSocket-Extensions: {offer}")
    if rng.random() < 0.1:
        lines.append(
            f"Sec-WebSocket-Protocol: {rng.choice(('undefined', 'a, b', chr(255), ',', 'undefined, undefined'))}"
        )
    if rng.random() < 0.25:
        place = rng.randrange(len(lines))
        wrong = rng.choice(
            (
                "Host: \xff",
                "Host: " + "a" * 300,
                "Host: xn--\x80",
                "Host: ..",
                "Sec-WebSocket-Key: \xff",
                "Sec-WebSocket-Version: \xb2",
                "Connection: \xff, Upgrade",
                "Upgrade: \xff",
                "POST / HTTP/1.1",
                "GET / HTTP/1.0",
                "GET \xff HTTP/1.1",
                "a: b",
                " folded",
                "",
            )
        )
        lines[place] = wrong
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def frames(rng: Random) -> bytes:
    """A sequence of frames of a client, which may break any rule."""
    return b"".join(_frames_of_one_kind(rng) for _ in range(rng.randint(1, 6)))


def _frames_of_one_kind(rng: Random) -> bytes:
    kind = rng.random()
    if kind < 0.3:
        return frame(rng, 1, json_text(rng))
    if kind < 0.45:
        text = json_text(rng) + "é\U0001f600".encode()
        cuts = sorted(rng.randrange(len(text) + 1) for _ in range(rng.choice((1, 3, 1_100))))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        between = rng.choice((b"", frame(rng, 9, b"a"), frame(rng, 1, b"[]"), frame(rng, 10, b"")))
        last = len(pieces) - 1
        return between.join(
            frame(rng, 0 if number else rng.choice((1, 2)), piece, fin=number == last)
            for number, piece in enumerate(pieces)
        )
    if kind < 0.55:
        return frame(rng, 9, b"p" * rng.choice((0, 1, 125))) * rng.choice((1, 10, 300))
    if kind < 0.65:
        code = rng.choice((0, 999, 1000, 1004, 1005, 1006, 1015, 2999, 3000, 4999, 5000, 65_535))
        reason = rng.choice((b"", b"bye", b"\xff\xfe", b"\xed\xa0\x80", b"r" * 123, b"r" * 200))
        return frame(rng, 8, rng.choice((code.to_bytes(2) + reason, b"\x03", b"")))
    if kind < 0.75:
        # A frame that says it is longer than anything that follows.
        length = rng.choice((2**63 - 1, 2**63, 2**64 - 1, 2**32, 2**20, 126, 65_535))
        return bytes([0x81, 0xFF]) + length.to_bytes(8) + b"abcd" + b"x" * 50
    if kind < 0.85:
        return frame(
            rng, rng.randrange(16), rng.randbytes(rng.randint(0, 200)), rsv=rng.randrange(8), fin=rng.random() < 0.5
        )
    if kind < 0.95:
        return frame(rng, 1, b'"' + b"\xff" * rng.randint(1, 50) + b'"', masked=rng.random() < 0.8)
    return rng.randbytes(rng.randint(1, 300))


def frame(
    rng: Random, opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0, masked: bool | None = None
) -> bytes:
    """One frame of a client. Some lengths are written longer than they need be."""
    is_masked = rng.random() < 0.97 if masked is None else masked
    head = bytes([fin << 7 | rsv << 4 | opcode])
    size, mask_bit = len(payload), is_masked << 7
    if size < 126 and rng.random() < 0.95:
        head += bytes([mask_bit | size])
    elif size < 2**16 and rng.random() < 0.95:
        head += bytes([mask_bit | 126]) + size.to_bytes(2)
    else:
        head += bytes([mask_bit | 127]) + size.to_bytes(8)
    if not is_masked:
        return head + payload
    mask = rng.randbytes(4)
    repeated = (mask * (size // 4 + 1))[:size]
    return head + mask + (int.from_bytes(payload) ^ int.from_bytes(repeated)).to_bytes(size)


def ipc_bytes(rng: Random) -> bytes:
    """What a client of the socket writes."""
    kind = rng.random()
    if kind < 0.05:
        return b'{"a":"' + b"a" * rng.choice((6_000_000, 100_000))
    if kind < 0.1:
        return rng.choice((b"\0", b"[", b"{", b'["', b" ", b"\n", b"nul", b"\xff")) * rng.choice((1, 100_000))
    parts = [json_text(rng) for _ in range(rng.choice((1, 1, 2, 30)))]
    text = rng.choice((b"", b"\n", b" \r\n\t", b"\0", b",")).join(parts)
    return text[: rng.randint(0, len(text))] if rng.random() < 0.3 else text


# -- running -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ports:
    """Where the ports of a node are."""

    graphql: int
    websocket: int
    ipc: Path


@asynccontextmanager
async def served_ports(directory: Path) -> AsyncIterator[Ports]:
    """A node with the three ports."""
    path = directory / "node.ipc"
    async with rpc_node(ipc=IpcSettings(path)) as node:
        server = GraphQlServer(GraphQlSettings(port=0), node.services, node.servers.runner, node.servers.trials)
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run)
            assert server.port is not None
            yield Ports(server.port, node.ws_port, path)
            nursery.cancel_scope.cancel()


async def attack_graphql(rng: Random, ports: Ports) -> None:
    """One GraphQL request. It has an answer of HTTP."""
    text = graphql_request(rng)
    answer = await _exchanged(await trio.open_tcp_stream("127.0.0.1", ports.graphql), [text])
    status = answer.split(b" ", 2)[1:2]
    assert status in ([b"200"], [b"400"], [b"413"], [b"414"], [b"431"], [b"503"]), (answer[:300], text[:2_000])


async def attack_websocket(rng: Random, ports: Ports) -> None:
    """One connection, which the server answers and ends."""
    parts = [upgrade(rng), *(frames(rng) for _ in range(rng.randint(0, 3)))]
    answer = await _exchanged(await trio.open_tcp_stream("127.0.0.1", ports.websocket), parts)
    assert answer.startswith(b"HTTP/1.1 "), (answer[:200], parts[0])


async def attack_ipc(rng: Random, ports: Ports) -> None:
    """One connection, which the server ends."""
    await _exchanged(await trio.open_unix_socket(ports.ipc), [ipc_bytes(rng)])


async def _exchanged(stream: trio.SocketStream, parts: list[bytes]) -> bytes:
    """Send the parts, all but the first after an answer. Return what comes until the server ends the connection."""
    answer, answered = bytearray(), trio.Event()

    async def send() -> None:
        try:
            for number, part in enumerate(parts):
                # A client may send frames after the answer to its upgrade only.
                if number:
                    await answered.wait()
                await stream.send_all(part)
            await stream.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    with trio.fail_after(PATIENCE_SECONDS):
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(send)
            try:
                while data := await stream.receive_some(READ_BYTES):
                    answer += data
                    answered.set()
            except trio.BrokenResourceError:
                pass
            nursery.cancel_scope.cancel()
    return bytes(answer)


async def ask_as_usual(ports: Ports) -> None:
    """A client of each port that does nothing wrong is answered."""
    rng = Random(0)
    query = b'{"query":"{chainID}"}'
    head = b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
    text = head + b"Content-Length: %d\r\n\r\n%b" % (len(query), query)
    answer = await _exchanged(await trio.open_tcp_stream("127.0.0.1", ports.graphql), [text])
    assert b'"chainID":"0x539"' in answer, answer
    call = json.dumps(request("eth_chainId")).encode()
    plain = b"\r\n".join(
        (
            b"GET / HTTP/1.1",
            b"Host: localhost",
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Sec-WebSocket-Version: 13",
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
    )
    both = [plain, frame(rng, 1, call, masked=True) + frame(rng, 8, b"", masked=True)]
    for stream, parts in (
        (await trio.open_tcp_stream("127.0.0.1", ports.websocket), both),
        (await trio.open_unix_socket(ports.ipc), [call]),
    ):
        answer = await _exchanged(stream, parts)
        assert b'"result":"0x539"' in answer, answer


ATTACKS: tuple[Callable[[Random, Ports], Awaitable[None]], ...] = (attack_graphql, attack_websocket, attack_ipc)
ROUNDS_BETWEEN_QUESTIONS = 50


async def fuzz(rounds: int, seed: int, directory: Path, report: Callable[[str], None] = lambda text: None) -> None:
    """Attack each port `rounds` times. AssertionError if a port does not answer, an unexpected exception is logged, or the
    memory grows too much."""
    with captured_logs() as logs:
        async with served_ports(directory) as ports:
            await ask_as_usual(ports)
            before = resident_bytes()
            for number in range(rounds):
                for attack in ATTACKS:
                    # A seed for each attack: one that fails can be repeated alone.
                    name = f"{attack.__name__} {seed}/{number}"
                    try:
                        await attack(Random(name), ports)
                    except BaseException as error:
                        raise AssertionError(f"{name}: {error!r}") from error
                    failures = [entry for entry in logs if entry.get("exc_info") or entry["log_level"] == "error"]
                    assert not failures, (name, failures)
                if number % ROUNDS_BETWEEN_QUESTIONS == 0:
                    await ask_as_usual(ports)
                    logs.clear()
                    report(f"{number} rounds, {(resident_bytes() - before) >> 20} MiB more")
            await ask_as_usual(ports)
            assert resident_bytes() - before < MAX_GROWTH_BYTES


def main() -> None:
    rounds, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns()
    with tempfile.TemporaryDirectory() as directory:
        started = time.process_time()
        trio.run(fuzz, rounds, seed, Path(directory), lambda text: print(text, flush=True))
        print(f"{rounds} rounds of {len(ATTACKS)} attacks, seed {seed}, {time.process_time() - started:.0f} s of CPU")


if __name__ == "__main__":
    main()
