"""The hash of typed data as EIP-712 has it, for `eth_signTypedData_v4`. Must not know a key."""

import re
from collections.abc import Iterator, Mapping, Sequence

from lacnode.primitives.hexadecimal import from_hex
from lacnode.primitives.keccak import keccak256

DOMAIN = "EIP712Domain"

MAX_TYPES, MAX_MEMBERS, MAX_DEPTH = 200, 200, 32
"""Bounds of the types of one message: types, members of a type, and structs and arrays inside one another."""

MAX_VALUES = 20_000
"""Values in one message: members of structs, whether they are given or not, and elements of arrays. They take a tenth of a
second."""

_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]{0,99}")
_ARRAY = re.compile(r"(.+)\[([0-9]{0,6})\]")
_NUMBER = re.compile(r"(u?)int([0-9]{1,3})")
_BYTES = re.compile(r"bytes([0-9]{1,2})")

Types = Mapping[str, Sequence[tuple[str, str]]]
"""The members of each struct: pairs of name and type."""


class TypedDataError(ValueError):
    """The document is no typed data. The message names the fault."""


def hash_typed_data(document: object) -> bytes:
    """Return the hash (32 bytes) that is signed for an EIP-712 document (types, primaryType, domain and message).
    TypedDataError if the document is no typed data, or has more types or values than this node hashes (`MAX_VALUES`).
    """
    if not isinstance(document, Mapping):
        raise TypedDataError("an object with types, primaryType, domain and message was expected")
    encoder = _Encoder(_types(document.get("types")))
    primary = document.get("primaryType")
    if not isinstance(primary, str):
        raise TypedDataError("primaryType: a name was expected")
    domain = encoder.hash_struct(DOMAIN, document.get("domain"))
    message = b"" if primary == DOMAIN else encoder.hash_struct(primary, document.get("message"))
    return keccak256(b"\x19\x01" + domain + message)


def _types(value: object) -> Types:
    if not isinstance(value, Mapping) or len(value) > MAX_TYPES:
        raise TypedDataError(f"types: an object with at most {MAX_TYPES} types was expected")
    return {DOMAIN: (), **{_name(name): tuple(_members(name, members)) for name, members in value.items()}}


def _members(name: str, members: object) -> Iterator[tuple[str, str]]:
    if not isinstance(members, list) or len(members) > MAX_MEMBERS:
        raise TypedDataError(f"types.{name}: an array of at most {MAX_MEMBERS} members was expected")
    for member in members:
        if not isinstance(member, Mapping) or not isinstance(member.get("type"), str):
            raise TypedDataError(f"types.{name}: objects with name and type were expected")
        yield _name(member.get("name")), member["type"]


def _name(value: object) -> str:
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        raise TypedDataError(f"{str(value)[:80]!r} is no name of a type or a member")
    return value


class _Encoder:
    """Encodes values of `types`."""

    def __init__(self, types: Types) -> None:
        self._types = types
        self._type_hashes: dict[str, bytes] = {}
        self._values = 0

    def hash_struct(self, name: str, value: object, depth: int = 0) -> bytes:
        """Return the hash of a struct. TypedDataError if `value` is none of the type `name`."""
        if name not in self._types or depth > MAX_DEPTH:
            raise TypedDataError(f"{name[:80]}: an unknown type, or structs too deep inside one another")
        if not isinstance(value, Mapping):
            raise TypedDataError(f"{name}: an object was expected")
        encoded = [self._type_hash(name)]
        for member, type_ in self._types[name]:
            try:
                encoded.append(self._encode(type_, value.get(member), depth + 1))
            except TypedDataError:
                raise
            except (ValueError, OverflowError, TypeError) as error:
                raise TypedDataError(f"{name}.{member}: {error}") from None
        return keccak256(b"".join(encoded))

    def _encode(self, type_: str, value: object, depth: int) -> bytes:
        """Return the 32 bytes of a member."""
        # A struct costs for its members, and not for the text that the client sends of it.
        self._values += 1
        if self._values > MAX_VALUES:
            raise TypedDataError(f"a message of at most {MAX_VALUES} values was expected")
        array = _ARRAY.fullmatch(type_)
        if array is not None:
            return self._array(array[1], array[2], value, depth)
        if type_ in self._types:
            # A struct that is null counts as zero, as in MetaMask.
            return bytes(32) if value is None else self.hash_struct(type_, value, depth)
        if type_ == "string":
            if not isinstance(value, str):
                raise TypedDataError("a text was expected")
            return keccak256(value.encode())
        if type_ == "bytes":
            return keccak256(_bytes(value))
        return _atom(type_, value)

    def _array(self, element: str, length: str, value: object, depth: int) -> bytes:
        if not isinstance(value, list) or depth > MAX_DEPTH or (length and len(value) != int(length)):
            raise TypedDataError(f"an array of {length or 'any number of'} values was expected")
        return keccak256(b"".join(self._encode(element, item, depth + 1) for item in value))

    def _type_hash(self, name: str) -> bytes:
        if name not in self._type_hashes:
            first, *others = self._used_by(name)
            text = "".join(self._description(each) for each in (first, *sorted(others)))
            self._type_hashes[name] = keccak256(text.encode())
        return self._type_hashes[name]

    def _used_by(self, name: str) -> list[str]:
        """Return the struct `name` and all structs that it uses."""
        found, waiting = {name: None}, [name]
        while waiting:
            for _, type_ in self._types[waiting.pop()]:
                inner = type_.partition("[")[0]
                if inner in self._types and inner not in found:
                    found[inner] = None
                    waiting.append(inner)
        return list(found)

    def _description(self, name: str) -> str:
        return f"{name}({','.join(f'{type_} {member}' for member, type_ in self._types[name])})"


def _bytes(value: object) -> bytes:
    if not isinstance(value, str) or not value.startswith("0x"):
        raise TypedDataError("bytes in hexadecimal after 0x were expected")
    return from_hex(value)


def _atom(type_: str, value: object) -> bytes:
    """Return the 32 bytes of a value that is no struct, array, text or bytes."""
    if type_ == "bool":
        if not isinstance(value, bool):
            raise TypedDataError("true or false was expected")
        return int(value).to_bytes(32)
    if type_ == "address":
        address = _bytes(value)
        if len(address) != 20:
            raise TypedDataError("an address of 20 bytes was expected")
        return address.rjust(32, b"\0")
    number, fixed = _NUMBER.fullmatch(type_), _BYTES.fullmatch(type_)
    if number is not None and int(number[2]) in range(8, 257, 8):
        return _integer(value, int(number[2]), is_signed=not number[1])
    if fixed is not None and 1 <= int(fixed[1]) <= 32:
        found = _bytes(value)
        if len(found) != int(fixed[1]):
            raise TypedDataError(f"{fixed[1]} bytes were expected")
        return found.ljust(32, b"\0")
    raise TypedDataError(f"{type_[:80]!r} is no type")


def _integer(value: object, bits: int, *, is_signed: bool) -> bytes:
    if isinstance(value, str):
        # Python reads numbers of thousands of digits slowly. 256 bits have 78 digits.
        if len(value) > 80:
            raise TypedDataError("a shorter number was expected")
        value = int(value, 16 if value.startswith("0x") else 10)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypedDataError("a number was expected")
    lowest = -(2 ** (bits - 1)) if is_signed else 0
    if not lowest <= value < lowest + 2**bits:
        raise TypedDataError(f"the number does not fit {bits} bits")
    return (value % 2**256).to_bytes(32)
