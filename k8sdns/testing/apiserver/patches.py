"""The four ways to PATCH: merge, JSON patch, strategic merge, server-side apply.

Owns: how a patch and an object make a new object. Refuses to know: HTTP, storage.
Source: RFC 7386 (merge), RFC 6902 (JSON patch), Kubernetes "strategic-merge-patch.md" and
server-side apply; list keys are those of the core types. Field managers conflict in server-side
apply only with others that applied: fields that were made or patched have no owner.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from k8sdns.testing.apiserver.resources import Object
from k8sdns.testing.apiserver.statuses import ApiError, bad_request

_LIST_KEYS: dict[str, tuple[tuple[str, ...], ...]] = {
    "ports": (("containerPort", "protocol"), ("port", "protocol")),
    "containers": (("name",),),
    "initContainers": (("name",),),
    "env": (("name",),),
    "volumes": (("name",),),
    "volumeMounts": (("mountPath",),),
    "imagePullSecrets": (("name",),),
    "hostAliases": (("ip",),),
    "conditions": (("type",),),
    "ownerReferences": (("uid",),),
}
_ATOMIC_PORTS = ("EndpointSlice", "Endpoints")


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386: null removes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result


def strategic(target: Any, patch: Any, kind: str = "") -> Any:
    """A strategic merge: as `merge`, but lists with a key merge item by item; `$` directives."""
    if not isinstance(patch, dict):
        return patch
    if patch.get("$patch") == "replace":
        return {name: value for name, value in patch.items() if name != "$patch"}
    result = dict(target) if isinstance(target, dict) else {}
    retained = patch.get("$retainKeys")
    if retained is not None:
        result = {name: value for name, value in result.items() if name in retained}
    for name, value in patch.items():
        if name.startswith("$"):
            _directive(result, name, value)
        elif value is None:
            result.pop(name, None)
        elif isinstance(value, list):
            result[name] = _strategic_list(result.get(name), value, name, kind)
        else:
            result[name] = strategic(result.get(name), value, kind)
    return result


def _directive(result: dict[str, Any], name: str, value: Any) -> None:
    word, _, field = name.partition("/")
    if word == "$deleteFromPrimitiveList":
        result[field] = [item for item in result.get(field) or [] if item not in value]


def _keys(items: list[Any], field: str, kind: str) -> tuple[str, ...]:
    """The fields that tell the items of a list apart; () for a list that is replaced whole."""
    if field == "ports" and kind in _ATOMIC_PORTS:
        return ()
    for keys in _LIST_KEYS.get(field, ()):
        if items and all(isinstance(item, dict) and keys[0] in item for item in items):
            return keys
    return ()


def _identity(item: dict[str, Any], keys: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(item.get(key, "TCP" if key == "protocol" else None) for key in keys)


def _strategic_list(target: Any, patch: list[Any], field: str, kind: str) -> list[Any]:
    whole = [item for item in patch if item != {"$patch": "replace"}]
    keys = _keys([*whole, *(target or [])], field, kind)
    if not keys or len(whole) < len(patch):
        return whole
    found = {_identity(item, keys): item for item in target or []}
    for item in whole:
        name = _identity(item, keys)
        if item.get("$patch") == "delete":
            found = {key: old for key, old in found.items() if key[0] != name[0]}
        else:
            found[name] = strategic(found.get(name), item, kind)
    return list(found.values())


def applied(live: Any, before: Any, config: Any, kind: str, field: str = "") -> Any:
    """Server-side apply: `config` laid over `live`, less what the manager had `before`.

    A field that the manager applied earlier and leaves out now is removed.
    """
    if isinstance(config, dict):
        result = dict(live) if isinstance(live, dict) else {}
        old = before if isinstance(before, dict) else {}
        for name in old.keys() - config.keys():
            result.pop(name, None)
        for name, value in config.items():
            result[name] = applied(result.get(name), old.get(name), value, kind, name)
        return result
    if isinstance(config, list):
        return _applied_list(live, before, config, kind, field)
    return config


def _applied_list(live: Any, before: Any, config: list[Any], kind: str, field: str) -> list[Any]:
    keys = _keys([*config, *(live or [])], field, kind)
    if not keys:
        return config
    found = {_identity(item, keys): item for item in live or []}
    old = {_identity(item, keys): item for item in before or []}
    new = {_identity(item, keys): item for item in config}
    for name in old.keys() - new.keys():
        found.pop(name, None)
    for name, item in new.items():
        found[name] = applied(found.get(name), old.get(name), item, kind)
    return list(found.values())


def contested(
    theirs: Any, config: Any, kind: str, path: str = "", field: str = ""
) -> Iterator[str]:
    """Yield the fields that `theirs` sets to another value than `config`, and drop them there."""
    if isinstance(theirs, dict) and isinstance(config, dict):
        for name in sorted(theirs.keys() & config.keys()):
            mine, other = config[name], theirs[name]
            if isinstance(mine, dict | list) and isinstance(other, dict | list):
                yield from contested(other, mine, kind, f"{path}.{name}", name)
            elif mine != other:
                del theirs[name]
                yield f"{path}.{name}"
    elif isinstance(theirs, list) and isinstance(config, list):
        yield from _contested_list(theirs, config, kind, path, field)


def _contested_list(
    theirs: list[Any], config: list[Any], kind: str, path: str, field: str
) -> Iterator[str]:
    keys = _keys([*theirs, *config], field, kind)
    if not keys:
        if theirs != config:
            theirs.clear()
            yield path
        return
    found = {_identity(item, keys): item for item in theirs}
    for item in config:
        identity = _identity(item, keys)
        if identity in found:
            named = zip(keys, identity, strict=True)
            words = ",".join(f"{key}={_text(value)}" for key, value in named)
            yield from contested(found[identity], item, kind, f"{path}[{words}]")


def _text(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def owned_fields(config: Any) -> Any:
    """`config` as FieldsV1: the tree of its field names."""
    if not isinstance(config, dict):
        return {}
    return {f"f:{name}": owned_fields(value) for name, value in config.items()}


def json_patch(target: Object, operations: Any) -> Object:
    """RFC 6902: add, remove, replace and test; 422 for a path that is not there."""
    if not isinstance(operations, list) or not all(isinstance(one, dict) for one in operations):
        raise bad_request("a JSON patch is a list of operations")
    result = deepcopy(target)
    for operation in operations:
        try:
            _operate(result, operation)
        except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
            text = "the server rejected our request due to an error in our request"
            raise ApiError(422, "Invalid", text, {}) from error
    return result


def _operate(result: Any, operation: dict[str, Any]) -> None:
    keys = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")]
    for key in keys[1:-1]:
        result = result[int(key)] if isinstance(result, list) else result[key]
    last, verb = keys[-1], operation["op"]
    if isinstance(result, list):
        _operate_on_list(result, last, verb, operation)
    elif verb == "remove":
        del result[last]
    elif verb == "test":
        if result.get(last) != operation["value"]:
            raise ValueError(f"test of {operation['path']} failed")
    elif verb in ("add", "replace"):
        result[last] = operation["value"]
    else:
        raise ValueError(f"unsupported operation {verb!r}")


def _operate_on_list(items: list[Any], last: str, verb: str, operation: dict[str, Any]) -> None:
    if verb == "add":
        items.insert(len(items) if last == "-" else int(last), operation["value"])
    elif verb == "replace":
        items[int(last)] = operation["value"]
    elif verb == "remove":
        del items[int(last)]
    elif items[int(last)] != operation["value"]:
        raise ValueError(f"test of {operation['path']} failed")
