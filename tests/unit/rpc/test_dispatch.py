"""Envelopes, batches and errors, as a client sees them: Besu's rules, over HTTP and over WebSocket."""

import json
from collections.abc import Sequence
from typing import Any, cast

import pytest

from lacnode.chain.chain_store import DatabaseNodeStore, MissingStateError
from lacnode.evm.merkle_trie import MissingNodeError
from lacnode.rpc.dispatch import Dispatcher, Pause, Reply
from lacnode.rpc.errors import RpcError, invalid_request
from lacnode.rpc.method_registry import Method, MethodRegistry
from lacnode.rpc.services import RpcServices
from tests.support.logs import logs_of_this_thread
from tests.support.rpc_chain import RICH, STORER_ADDRESS, finished, node

CALLS: list[object] = []


def echo(services: RpcServices, params: Sequence[object]) -> object:
    CALLS.append(params)
    return list(params)


def fail(services: RpcServices, params: Sequence[object]) -> object:
    raise ZeroDivisionError("secret")


def refuse(services: RpcServices, params: Sequence[object]) -> object:
    raise RpcError(-32000, "Known transaction", "0x01")


def large(services: RpcServices, params: Sequence[object]) -> object:
    return {"difficulty": 2**256 - 1}


def unspeakable(services: RpcServices, params: Sequence[object]) -> object:
    return object()


def nothing(services: RpcServices, params: Sequence[object]) -> object:
    return None


def bad_wish(services: RpcServices, params: Sequence[object]) -> object:
    raise invalid_request()


def without_state(services: RpcServices, params: Sequence[object]) -> object:
    raise MissingNodeError("trie node 0x11 of a private state is missing")


METHODS = (
    Method("test_withoutState", "TEST", without_state),
    Method("test_echo", "TEST", echo),
    Method("test_fail", "TEST", fail),
    Method("test_refuse", "TEST", refuse),
    Method("test_large", "TEST", large),
    Method("test_unspeakable", "TEST", unspeakable),
    Method("test_nothing", "TEST", nothing),
    Method("test_badWish", "TEST", bad_wish),
    Method("test_one", "TEST", echo, arity=1),
    Method("eth_accounts", "ETH", echo),
)


def dispatcher(*, max_batch: int = 1024, pretty: bool = False) -> Dispatcher:
    services = cast(RpcServices, None)  # the methods above touch nothing
    return Dispatcher(MethodRegistry(METHODS, ["TEST"]), services, max_batch=max_batch, pretty=pretty)


def http(text: str | bytes) -> Reply:
    return finished(dispatcher().answer_http(text if isinstance(text, bytes) else text.encode()))


def websocket(text: str) -> Reply:
    return finished(dispatcher().answer_websocket(text.encode(), {}))


def error_of(reply: Reply) -> tuple[object, int, str]:
    """Id, code and message of a single error reply."""
    document = json.loads(reply.body)
    assert list(document) == ["jsonrpc", "id", "error"]
    return document["id"], document["error"]["code"], document["error"]["message"]


def call(method: object = "test_echo", **members: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, **members})


class TestReplies:
    def test_members_come_in_besus_order_and_compact(self) -> None:
        reply = http('{"method":"test_echo","params":["a"],"id":1,"jsonrpc":"2.0"}')
        assert reply.body == b'{"jsonrpc":"2.0","id":1,"result":["a"]}'

    def test_a_result_of_null_is_there(self) -> None:
        assert http(call("test_nothing")).body == b'{"jsonrpc":"2.0","id":1,"result":null}'

    def test_an_error_carries_data_only_where_there_is_some(self) -> None:
        with_data = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"Known transaction","data":"0x01"}}'
        assert http(call("test_refuse")) == Reply(with_data)
        without = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}'
        assert http(call("nobody_knows")) == Reply(without)

    def test_pretty_replies_are_indented(self) -> None:
        assert finished(dispatcher(pretty=True).answer_http(call("test_nothing").encode())).body.count(b"\n") == 4

    def test_whole_numbers_of_any_size_are_written_out(self) -> None:
        assert json.loads(http(call("test_large")).body)["result"]["difficulty"] == 2**256 - 1


class TestIds:
    @pytest.mark.parametrize(
        "id_",
        ["7", "-7", "0", '"seven"', '""', "1.5", "null", str(2**53 + 1), str(2**64 - 1), str(2**64), str(10**60 + 1)],
    )
    def test_an_id_comes_back_as_it_was(self, id_: str) -> None:
        expected = f'{{"jsonrpc":"2.0","id":{id_},"result":[]}}'.encode()
        assert http(f'{{"id":{id_},"method":"test_echo"}}').body == expected

    @pytest.mark.parametrize("id_", ["{}", "[1]", "true", "false"])
    def test_an_id_that_is_no_scalar_makes_it_no_call(self, id_: str) -> None:
        reply = http(f'{{"id":{id_},"method":"test_echo"}}')
        assert error_of(reply) == (None, -32600, "Invalid Request")
        assert reply.status == 400

    @pytest.mark.parametrize(
        ("id_", "answered"),
        [("5", 5), ('"a"', None), ("null", None), ("1.9", 1), (str(2**31), -(2**31)), ("1e99", 2**31 - 1)],
    )
    def test_a_malformed_call_gets_back_what_java_makes_an_int_of(self, id_: str, answered: int | None) -> None:
        assert error_of(http(f'{{"id":{id_},"method":null}}')) == (answered, -32600, "Invalid Request")

    @pytest.mark.parametrize("method", ["7", "1.5", "true", str(2**70), str(-(2**70))])
    def test_a_method_that_is_a_scalar_is_a_text_as_in_besu(self, method: str) -> None:
        reply = http(f'{{"id":{2**80},"method":{method}}}')
        assert error_of(reply) == (2**80, -32601, "Method not found")


class TestCalls:
    def test_jsonrpc_and_unknown_members_are_not_looked_at(self) -> None:
        for version in ('"1.0"', "null", "7"):
            assert b'"result":[]' in http(f'{{"jsonrpc":{version},"id":1,"method":"test_echo","more":{{}}}}').body
        assert b'"result":[]' in http('{"id":1,"method":"test_echo"}').body

    @pytest.mark.parametrize("params", ["{}", '"a"', "1", "true"])
    def test_params_that_are_no_array_are_an_invalid_request(self, params: str) -> None:
        reply = http(f'{{"id":1,"method":"test_echo","params":{params}}}')
        assert error_of(reply) == (1, -32600, "Invalid Request")
        assert reply.status == 400

    @pytest.mark.parametrize("params", ["", ',"params":null', ',"params":[]'])
    def test_params_may_be_missing_or_null(self, params: str) -> None:
        assert b'"result":[]' in http(f'{{"id":1,"method":"test_echo"{params}}}').body

    @pytest.mark.parametrize("method", ["", ',"method":null', ',"method":{}', ',"method":["a"]'])
    def test_a_call_without_a_method_is_an_invalid_request(self, method: str) -> None:
        reply = http(f'{{"id":1{method}}}')
        assert error_of(reply) == (1, -32600, "Invalid Request")
        assert reply.status == 400

    def test_unknown_and_switched_off_are_told_apart_and_are_no_bad_request(self) -> None:
        for method, code in (("nobody_knows", -32601), (7, -32601), ("eth_accounts", -32604), ("eth_call", -32604)):
            reply = http(call(method))
            assert error_of(reply)[1] == code
            assert reply.status == 200

    @pytest.mark.parametrize(
        ("params", "counts"), [(["a"], True), ([], False), ([None], False), (["a", "b"], False), ([None, "a"], False)]
    )
    def test_arity_counts_a_leading_null_as_nothing(self, params: list[object], counts: bool) -> None:
        document = json.loads(http(call("test_one", params=params)).body)
        assert ("result" in document) == counts
        assert counts or document["error"]["code"] == -32602

    def test_surplus_parameters_reach_methods_that_do_not_count(self) -> None:
        assert json.loads(http(call(params=["a", "b"])).body)["result"] == ["a", "b"]

    def test_an_unexpected_failure_is_logged_and_not_told(self) -> None:
        with logs_of_this_thread() as logs:
            reply = http(call("test_fail"))
        assert error_of(reply) == (1, -32603, "Internal error")
        assert b"secret" not in reply.body
        assert [entry["method"] for entry in logs] == ["test_fail"]

    def test_a_state_that_is_not_kept_is_named_as_by_a_reader_process(self) -> None:
        with logs_of_this_thread() as logs:
            reply = http(call("test_withoutState"))
        assert error_of(reply) == (1, -32000, "World state unavailable")
        (entry,) = logs
        assert (entry["log_level"], entry["method"]) == ("warning", "test_withoutState")
        assert "0x11" in entry["reason"]
        assert "exc_info" not in entry

    @pytest.mark.parametrize(
        ("method", "params"),
        [
            ("eth_getBalance", ["0x" + RICH.address.hex(), "latest"]),
            ("eth_getTransactionCount", ["0x" + RICH.address.hex(), "latest"]),
            ("eth_getStorageAt", ["0x" + STORER_ADDRESS.hex(), "0x0", "latest"]),
            ("eth_getProof", ["0x" + RICH.address.hex(), [], "latest"]),
            ("eth_call", [{"to": "0x" + STORER_ADDRESS.hex()}, "latest"]),
        ],
    )
    def test_every_method_names_a_state_that_is_not_kept(
        self, method: str, params: list[object], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tried = node()

        def missing(store: DatabaseNodeStore, key: bytes) -> bytes:
            raise MissingStateError(key)

        monkeypatch.setattr(DatabaseNodeStore, "get", missing)
        steps = Dispatcher(tried.registry, tried.services).answer_http(call(method, params=params).encode())
        with logs_of_this_thread() as logs:
            reply = finished(steps, tried.services)
        assert error_of(reply) == (1, -32000, "World state unavailable")
        assert "lacnode database verify" in logs[0]["reason"]

    def test_a_result_that_json_cannot_say_is_an_internal_error(self) -> None:
        with logs_of_this_thread() as logs:
            assert error_of(http(call("test_unspeakable"))) == (1, -32603, "Internal error")
        assert [entry["log_level"] for entry in logs] == ["error"]

    def test_a_methods_own_invalid_request_keeps_the_id(self) -> None:
        reply = http(call("test_badWish", id="mine"))
        assert error_of(reply) == ("mine", -32600, "Invalid Request")
        assert reply.status == 400


class TestNotifications:
    def test_a_notification_is_neither_answered_nor_carried_out(self) -> None:
        CALLS.clear()
        assert http('{"method":"test_echo"}') == Reply(b"")
        assert websocket('{"method":"nobody_knows"}') == Reply(b"")
        assert CALLS == []

    def test_a_null_id_is_no_notification(self) -> None:
        assert http('{"id":null,"method":"test_echo"}').body == b'{"jsonrpc":"2.0","id":null,"result":[]}'

    def test_a_malformed_notification_is_answered(self) -> None:
        assert error_of(http("{}")) == (None, -32600, "Invalid Request")


class TestText:
    @pytest.mark.parametrize(
        "text",
        [b"", b"{", b"nonsense", b"\xff\xfe", b"{'id':1}", b"42", b'"text"', b"null", b'{"id":1}{"id":2}', b"NaN"],
    )
    def test_what_is_no_json_object_or_array_is_a_parse_error_over_http(self, text: bytes) -> None:
        reply = http(text)
        assert error_of(reply) == (None, -32700, "Parse error")
        assert reply.status == 400

    @pytest.mark.parametrize(("text", "code"), [("", -32600), ("{", -32603), ("42", -32603), ("null", -32603)])
    def test_websocket_has_codes_of_its_own(self, text: str, code: int) -> None:
        assert error_of(websocket(text))[:2] == (None, code)

    @pytest.mark.parametrize("opening", ["[", '{"a":', '{"id":1,"method":"test_echo","params":['])
    def test_ten_thousand_levels_are_a_parse_error(self, opening: str) -> None:
        assert error_of(http(opening * 10_000)) == (None, -32700, "Parse error")
        nested = '{"id":100000000000000000000,"method":"test_echo","params":' + "[" * 10_000 + "]" * 10_000 + "}"
        assert error_of(http(nested)) == (None, -32700, "Parse error")

    def test_an_id_of_a_million_digits_is_a_parse_error(self) -> None:
        assert error_of(http('{"method":"test_echo","id":' + "9" * 1_000_000 + "}")) == (None, -32700, "Parse error")


class TestBatches:
    def test_replies_come_in_order_and_notifications_are_left_out(self) -> None:
        text = f'[{call(id=2)},{{"method":"test_echo"}},7,{call("nobody_knows", id="x")}]'
        for reply in (http(text), websocket(text)):
            assert reply.status == 200
            assert [(entry["id"], "error" in entry) for entry in json.loads(reply.body)] == [
                (2, False),
                (None, True),
                ("x", True),
            ]

    def test_an_empty_batch(self) -> None:
        reply = http("[]")
        assert error_of(reply) == (None, -32600, "Invalid Request")
        assert reply.status == 400
        assert websocket("[]") == Reply(b"[]")

    def test_a_batch_of_notifications_is_an_empty_array(self) -> None:
        assert http('[{"method":"test_echo"}]') == Reply(b"[]")

    def test_too_many_calls_are_refused_together_over_http_only(self) -> None:
        calls = "[" + ",".join([call()] * 3) + "]"
        reply = finished(dispatcher(max_batch=2).answer_http(calls.encode()))
        assert error_of(reply) == (None, -32005, "Number of requests exceeds max batch size")
        assert reply.status == 200
        assert len(json.loads(finished(dispatcher(max_batch=3).answer_http(calls.encode())).body)) == 3
        assert len(json.loads(finished(dispatcher(max_batch=0).answer_http(calls.encode())).body)) == 3
        assert len(json.loads(finished(dispatcher(max_batch=2).answer_websocket(calls.encode(), {})).body)) == 3

    def test_a_hundred_thousand_calls_are_refused_without_carrying_one_out(self) -> None:
        CALLS.clear()
        assert error_of(http("[" + ",".join([call()] * 100_000) + "]"))[1] == -32005
        assert CALLS == []

    def test_what_is_left_when_time_is_up_is_refused_call_by_call(self) -> None:
        CALLS.clear()
        text = f'[{call(id=1)},{{"method":"test_echo"}},{{}}]'
        replies = json.loads(finished(dispatcher().answer_http(text.encode(), until=0)).body)
        assert [(reply["id"], reply["error"]["message"]) for reply in replies] == [
            (1, "Timeout expired"),
            (None, "Invalid Request"),
        ]
        assert CALLS == []

    def test_replies_that_grow_too_large_together_are_cut_short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.rpc.dispatch.BATCH_REPLY_BYTES", 100)
        calls = "[" + ",".join([call(params=["a" * 60])] * 3) + "]"
        replies = json.loads(http(calls).body)
        assert ["result" in reply for reply in replies] == [True, True, False]
        assert replies[2]["error"]["code"] == -32005

    def test_a_reply_that_is_too_large_alone_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.rpc.dispatch.MAX_REPLY_BYTES", 500)
        assert error_of(http(call(id=7, params=["a" * 600])))[:2] == (7, -32005)
        assert error_of(websocket(call(id=7, params=["a" * 600])))[:2] == (7, -32005)
        replies = json.loads(http(f"[{call(params=['a' * 600])},{call(params=['b'])}]").body)
        assert ["result" in reply for reply in replies] == [False, True]

    def test_unfinished_batches_keep_only_so_much_together(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.rpc.reply_memory.UNFINISHED_BYTES", 1_000)
        monkeypatch.setattr("lacnode.rpc.dispatch.STEP_SECONDS", -1.0)  # a pause before every call
        at, calls = dispatcher(), "[" + ",".join([call(params=["a" * 800])] * 3) + "]"
        waiting = at.answer_http(calls.encode())
        pauses = 0
        while pauses < 3:  # two replies are kept
            pauses += next(waiting) is Pause.PAUSE
        assert ["result" in reply for reply in json.loads(finished(at.answer_http(calls.encode())).body)] == [False] * 3
        waiting.close()
        assert ["result" in reply for reply in json.loads(finished(at.answer_http(calls.encode())).body)] == [
            True,
            True,
            False,
        ]


class TestOwnMethods:
    def test_a_connections_own_methods_come_before_the_registrys(self) -> None:
        own = {"eth_subscribe": lambda services, params: "0x1"}
        reply = finished(dispatcher().answer_websocket(call("eth_subscribe").encode(), own))
        assert json.loads(reply.body)["result"] == "0x1"
        assert error_of(http(call("eth_subscribe")))[1] == -32604
