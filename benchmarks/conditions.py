"""
The CEL implementations on the package index, side by side: what docs/adr/0011 decided on.

    python benchmarks/conditions.py [PYTHON …] > conditions.json

Not part of `make bench`: the candidates that were not chosen are no dependency. Each PYTHON is an interpreter (default:
this one) of an environment that has one or more of cel-expr-python, common-expression-language, cel-python and cel-bind
(the second and the last are both imported as `cel`, so they need an environment each). Standard library only. Each
measurement has a process of its own; rounds are interleaved over the candidates.
"""

import contextlib
import importlib
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any, Final

Ask = Callable[[], object]

CANDIDATES: Final = ("cel-expr-python", "common-expression-language", "cel-bind", "cel-python")
ROUNDS: Final = 5
SECONDS: Final = 0.5
HOSTILE_SECONDS: Final = 5
HOSTILE_BYTES: Final = 2 * 1024**3

RULES: Final = {
    "threshold": "window.avg > 80.0",
    "usual": 'window.avg > 80.0 && window.count >= 3 && labels.region == "eu"',
    "long": 'plan in ["professional", "enterprise"] && (window.max > 95.0 || window.avg > 80.0)'
    " && quota.api_calls.used * 100 >= quota.api_calls.limit * 80"
    ' && labels.service.matches("^api-[a-z]+$")',
}
FACTS: Final = {
    "value": 91.5,
    "window": {"avg": 85.25, "min": 71.0, "max": 96.0, "last": 91.5, "count": 3},
    "labels": {"region": "eu", "service": "api-checkout"},
    "plan": "professional",
    "quota": {"api_calls": {"limit": 100_000, "used": 90_000, "remaining": 10_000}},
}
MISTAKES: Final = {
    "syntax": "window.avg >",
    "unknown name": "windw.avg > 80.0",
    "unknown field": "window.p99 > 80.0",
    "unknown quota": "quota.api_cals.used > 5",
    "unknown function": "average(value) > 80.0",
    "text against number": 'plan > 80.0 || labels.region == "eu"',
    "behind a short circuit": 'true || window.p99 > "x"',
    "int against double": "window.avg * 2 > 80.0",
    "not a bool": "window.avg + 1.0",
    "wrong regular expression": 'plan.matches("(")',
}
TEN: Final = "[1,2,3,4,5,6,7,8,9,10]"
HOSTILE: Final = {
    "10^8 turns of nested macros": "".join(f"{TEN}.all(x{n}, " for n in range(8)) + "true" + ")" * 8,
    "a string doubled 40 times": '["aaaaaaaaaa"]' + ".map(a, a + a)" * 40 + ".size() > 0",
    "backtracking expression": '"' + "a" * 40 + '!".matches("^(a+)+$")',
    "100,000 parentheses": "(" * 100_000 + "true" + ")" * 100_000,
    "50,000 times !": "!" * 50_000 + "true",
    "5,000 times + 1": "1" + " + 1" * 5_000 + " > 0",
}


def google_cpp() -> Callable[[str], Ask]:
    """Google's C++ implementation; every fact is a variable of a declared type, so fields are checked at load."""
    from cel_expr_python import cel

    text_map = cel.Type.Map(cel.Type.STRING, cel.Type.STRING)
    types = {float: cel.Type.DOUBLE, int: cel.Type.INT, str: cel.Type.STRING, dict: text_map}
    env = cel.NewEnv(variables={name: types[type(fact)] for name, fact in flattened(FACTS).items()})

    def compile_one(text: str) -> Ask:
        expression = env.compile(text)
        if expression.return_type() != cel.Type.BOOL:
            raise ValueError("not a bool")

        asked = {name: fact for name, fact in flattened(FACTS).items() if name in text}
        return lambda: expression.eval(data=asked).value()

    return compile_one


def asked_of(text: str) -> dict[str, Any]:
    """The facts that a text mentions: nobody would convert the others."""
    return {name: fact for name, fact in FACTS.items() if name in text}


def flattened(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Every fact under its dotted name; labels, whose keys nobody knows before, stay a map."""
    flat: dict[str, Any] = {"value": facts["value"], "labels": facts["labels"], "plan": facts["plan"]}
    flat.update({f"window.{name}": fact for name, fact in facts["window"].items()})
    for quota, standing in facts["quota"].items():
        flat.update({f"quota.{quota}.{name}": fact for name, fact in standing.items()})
    return flat


def rust() -> Callable[[str], Ask]:
    import cel

    def compile_one(text: str) -> Ask:
        program, asked = cel.compile(text), asked_of(text)
        return lambda: program.execute(asked)

    return compile_one


def enter_cpp() -> Callable[[str], Ask]:
    """A binding of the same C++, whose fields are checked through JSON Schemas; maps of any key are not declarable."""
    import cel

    pool = cel.DescriptorPool()
    kinds = {float: "number", int: "integer", str: "string"}

    def schema(name: str, members: Mapping[str, Any]) -> Any:
        fields = {
            key: schema_of(member) if isinstance(member, dict) else {"type": kinds[type(member)]}
            for key, member in members.items()
        }
        return pool.add_json_schema(name, json.dumps({"type": "object", "title": name, "properties": fields}))

    def schema_of(members: Mapping[str, Any]) -> dict[str, Any]:
        return {"type": "object", "properties": {k: {"type": kinds[type(v)]} for k, v in members.items()}}

    env = {
        "value": cel.DoubleType(),
        "plan": cel.StringType(),
        "window": schema("window", FACTS["window"]),
        "labels": schema("labels", FACTS["labels"]),
        "quota": schema("quota", FACTS["quota"]),
    }
    compiler, interpreter = cel.Compiler(pool, env, None), cel.Interpreter(pool, env, None)

    def compile_one(text: str) -> Ask:
        plan = interpreter.build_expression_plan(compiler.compile_to_checked_expr(text))
        return lambda: interpreter.evaluate(plan, FACTS)

    return compile_one


def pure_python() -> Callable[[str], Ask]:
    import celpy

    env = celpy.Environment()

    def compile_one(text: str) -> Ask:
        program, asked = env.program(env.compile(text)), asked_of(text)
        return lambda: program.evaluate({name: celpy.json_to_cel(fact) for name, fact in asked.items()})

    return compile_one


MAKERS: Final = {
    "cel-expr-python": ("cel_expr_python.cel", google_cpp),
    "common-expression-language": ("cel", rust),
    "cel-bind": ("cel", enter_cpp),
    "cel-python": ("celpy", pure_python),
}


def measured_start(candidate: str) -> dict[str, float]:
    """What importing costs a process that has nothing else."""
    module, _ = MAKERS[candidate]
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    importlib.import_module(module)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"import_ms": seconds * 1_000, "import_mib": (after - before) / 1_024}


def measured_speed(candidate: str) -> dict[str, float]:
    """Evaluations and compilations; what a library makes of Python values at each evaluation is part of it."""
    compile_one = MAKERS[candidate][1]()
    figures = {}
    for name, text in RULES.items():
        ask = compile_one(text)
        if ask() != True:  # noqa: E712 - celpy's BoolType is not bool
            raise AssertionError(f"{candidate} {name}: {ask()!r}")
        figures[f"{name}_per_s"] = rate(ask)
        figures[f"{name}_compile_us"] = 1e6 / rate(lambda text=text: compile_one(text))
    return figures


def rate(call: Callable[[], object]) -> float:
    count, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < SECONDS:
        for _ in range(20):
            call()
        count += 20
    return count / elapsed


def measured_growth(candidate: str) -> dict[str, float]:
    """Whether 200,000 evaluations (20,000 of a slow one) leave memory behind."""
    ask = MAKERS[candidate][1]()(RULES["long"])
    for _ in range(2_000):
        ask()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(20_000 if candidate == "cel-python" else 200_000):
        ask()
    return {"growth_mib": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1_024}


def found_mistake(candidate: str, name: str) -> str:
    try:
        MAKERS[candidate][1]()(MISTAKES[name])
    except Exception:
        return "at load"
    return "not at load"


def stopped_hostile(candidate: str, name: str) -> str:
    """Within so many bytes: what becomes of a condition that means harm."""
    resource.setrlimit(resource.RLIMIT_AS, (HOSTILE_BYTES, HOSTILE_BYTES))
    started = time.perf_counter()
    try:
        ask = MAKERS[candidate][1]()(HOSTILE[name])
    except Exception as error:
        return f"refused at load: {type(error).__name__} after {time.perf_counter() - started:.3f} s"
    try:
        answer = ask()
    except BaseException as error:
        return f"stopped: {type(error).__name__} after {time.perf_counter() - started:.3f} s"
    return f"answered {answer} after {time.perf_counter() - started:.3f} s"


PARTS: Final = {"start": measured_start, "speed": measured_speed, "growth": measured_growth}
ONES: Final = {"mistake": found_mistake, "hostile": stopped_hostile}


def in_process(python: str, *arguments: str, seconds: float = 300) -> Any:
    """One part, in a process of its own: its figures, or what became of it."""
    try:
        ran = subprocess.run(
            [python, __file__, "--part", *arguments], capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return f"still running after {seconds:.0f} s: killed"
    if ran.returncode < 0:
        return f"the process died of signal {-ran.returncode}"
    if ran.returncode:
        return f"failed: {ran.stderr.strip().splitlines()[-1][:200]}"
    return json.loads(ran.stdout)


def part(kind: str, candidate: str, name: str | None = None) -> None:
    json.dump(PARTS[kind](candidate) if name is None else ONES[kind](candidate, name), sys.stdout)


def present() -> None:
    """The candidates that this interpreter has; `cel` is whichever of two."""
    found = {}
    for candidate in CANDIDATES:
        with contextlib.suppress(PackageNotFoundError):
            found[candidate] = version(candidate)
    json.dump(found, sys.stdout)


def compared(pythons: list[str]) -> dict[str, Any]:
    homes: dict[str, tuple[str, str]] = {}
    for python in pythons:
        for candidate, release in in_process(python, "present").items():
            homes.setdefault(candidate, (python, release))
    rounds: dict[str, dict[str, list[float]]] = {candidate: {} for candidate in homes}
    for number in range(ROUNDS):
        for candidate, (python, _) in homes.items():
            for kind in ("start", "speed"):
                print(f"round {number + 1}/{ROUNDS} {candidate} {kind}", file=sys.stderr)
                for name, figure in in_process(python, kind, candidate).items():
                    rounds[candidate].setdefault(name, []).append(figure)
    return {
        "python": platform.python_version(),
        "machine": platform.platform(),
        "candidates": {
            candidate: {
                "release": release,
                "figures": {
                    name: {"median": round(median(taken), 3), "spread": [round(min(taken), 3), round(max(taken), 3)]}
                    for name, taken in rounds[candidate].items()
                },
                "growth": in_process(python, "growth", candidate),
                "mistakes": {name: in_process(python, "mistake", candidate, name) for name in MISTAKES},
                "hostile": {
                    name: in_process(python, "hostile", candidate, name, seconds=HOSTILE_SECONDS) for name in HOSTILE
                },
            }
            for candidate, (python, release) in homes.items()
        },
    }


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--part", "present"]:
            present()
        case ["--part", kind, candidate, *name]:
            part(kind, candidate, *name)
        case pythons:
            json.dump(compared(pythons or [sys.executable]), sys.stdout, indent=2)
            print()
