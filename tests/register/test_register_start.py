"""First starts, later starts, and starts that must not be."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from register_world import Clock, mode_of, new_key, opened, passport
from tenzij.policy.signature import verify_signature
from tenzij.policy.snapshot_json import BadSnapshot
from tenzij.register import database, register, secret_files
from tenzij.register.database import FILE
from tenzij.register.refusals import RegisterFailed
from tenzij.register.register import opened_register
from tenzij.register.secret_files import PEPPER_FILE, SIGNING_FILE
from tenzij.register.verbs import perform


def failure_of(folder: Path) -> RegisterFailed:
    with pytest.raises(RegisterFailed) as caught:
        opened_register(folder, Clock())
    return caught.value


def rows(folder: Path, table: str) -> int:
    with sqlite3.connect(folder / FILE) as connection:
        (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608  a name of ours
    connection.close()
    return int(count)


def changed(folder: Path, *statements: str) -> None:
    """The database, changed behind the register's back by someone who can."""
    connection = sqlite3.connect(folder / FILE)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_only_the_owner_may_read_what_a_first_start_makes(tmp_path: Path) -> None:
    with opened(tmp_path) as opened_one:
        new_key(opened_one)
        files = sorted(file.name for file in tmp_path.iterdir())
        assert files == [PEPPER_FILE, SIGNING_FILE, FILE, f"{FILE}-wal"]
        assert {file: mode_of(tmp_path / file) for file in files} == dict.fromkeys(files, 0o600)


def test_two_installations_share_no_secret(tmp_path: Path) -> None:
    for name in ("een", "twee"):
        (tmp_path / name).mkdir()
    with opened(tmp_path / "een") as one, opened(tmp_path / "twee") as other:
        assert one.secrets.pepper != other.secrets.pepper
        assert one.secrets.public_key != other.secrets.public_key


def test_secrets_do_not_show_in_repr(tmp_path: Path) -> None:
    with opened(tmp_path) as opened_one:
        new_key(opened_one)
        assert repr(opened_one.secrets) == "Secrets()"
        assert "digest" not in repr(opened_one.published)


def test_a_second_start_finds_everything_as_it_was(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock) as first:
        perform(first, "model_add", {"passport": passport()})
        new_key(first)
        before = (first.secrets.pepper, first.secrets.public_key, first.published, perform(first, "key_list", {}))
    clock.now_ms += 86_400_000
    with opened(tmp_path, clock) as second:
        perform(second, "use_case_list", {})
        after = (second.secrets.pepper, second.secrets.public_key, second.published, perform(second, "key_list", {}))
    assert after == before


def test_a_policy_version_is_made_only_when_something_that_decides_changes(tmp_path: Path) -> None:
    clock = Clock()
    hashes = []
    for step in (lambda _: None, lambda one: perform(one, "model_add", {"passport": passport()}), new_key, new_key):
        clock.now_ms += 1000
        with opened(tmp_path, clock) as one:
            if step is new_key:
                new_key(one, str(clock.now_ms))
            else:
                step(one)
            hashes.append(one.published.version.hash)
    assert hashes[0] != hashes[1]
    assert hashes[1] == hashes[2] == hashes[3]
    assert rows(tmp_path, "policy_version") == 2


def test_versions_are_kept_in_order_of_time_also_when_the_clock_goes_back(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock) as one:
        clock.now_ms -= 1_000_000
        perform(one, "model_add", {"passport": passport()})
        perform(one, "model_remove", {"id": "klein"})
    connection = sqlite3.connect(tmp_path / FILE)
    versions = connection.execute("SELECT made_ms, hash, content FROM policy_version ORDER BY number").fetchall()
    connection.close()
    assert [made for made, *_ in versions] == sorted({made for made, *_ in versions})
    assert len({name for _, name, _ in versions}) == 3


def test_every_version_on_file_verifies(tmp_path: Path) -> None:
    with opened(tmp_path) as one:
        perform(one, "model_add", {"passport": passport()})
        public = one.secrets.public_key
    connection = sqlite3.connect(tmp_path / FILE)
    for content, signature in connection.execute("SELECT content, signature FROM policy_version"):
        verify_signature(content, signature, public)
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE policy_version SET content = x'00'",
        "DELETE FROM policy_version",
        "UPDATE setting SET value = ''",
        "DELETE FROM setting",
        "DELETE FROM api_key",
        "DELETE FROM model_version",
        "DELETE FROM use_case_version",
    ],
)
def test_the_database_itself_refuses_to_rewrite_history(tmp_path: Path, statement: str) -> None:
    with opened(tmp_path) as one:
        new_key(one)
        perform(one, "model_add", {"passport": passport()})
    with pytest.raises(sqlite3.IntegrityError, match="never"):
        changed(tmp_path, statement)


def test_one_folder_has_one_register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.05)
    with opened(tmp_path):
        failure = failure_of(tmp_path)
    assert (failure.reason_code, failure.final) == ("register_in_use", False)
    with opened(tmp_path):
        pass


def test_what_is_stored_is_stored_safely(tmp_path: Path) -> None:
    engine = database.open_database(tmp_path)
    with engine.connect() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "locking_mode", "temp_store")
        }
    engine.dispose()
    assert settings == {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "foreign_keys": 1,
        "secure_delete": 1,
        "locking_mode": "exclusive",
        "temp_store": 2,  # MEMORY
    }


def overwrite(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def damage(folder: Path) -> None:
    """The header stays; what follows is not what it was."""
    content = bytearray((folder / FILE).read_bytes())
    content[4096:] = bytes(byte ^ 0x5A for byte in content[4096:])
    (folder / FILE).write_bytes(content)


def another_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def policy_tampered(folder: Path) -> None:
    changed(
        folder,
        "DROP TRIGGER policy_version_never_changed",
        "UPDATE policy_version SET content = CAST(replace(CAST(content AS TEXT), 'niveau_2', 'niveau_4') AS BLOB)",
    )


def link_to_elsewhere(folder: Path) -> None:
    (folder / PEPPER_FILE).rename(folder / "elders")
    (folder / PEPPER_FILE).symlink_to(folder / "elders")


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (shutil.rmtree, "folder_missing"),
        (lambda folder: (folder / FILE).unlink(), "database_missing"),
        (overwrite(FILE, b"this is no database, whatever its name says" * 200), "database_damaged"),
        (damage, "database_damaged"),
        (lambda folder: (folder / FILE).chmod(0o644), "database_exposed"),
        (lambda folder: (folder / PEPPER_FILE).unlink(), "secret_missing"),
        (lambda folder: (folder / SIGNING_FILE).unlink(), "secret_missing"),
        (overwrite(PEPPER_FILE, b"short"), "secret_unreadable"),
        (overwrite(PEPPER_FILE, b"x" * 32), "secret_foreign"),
        (overwrite(SIGNING_FILE, b"no key"), "secret_unreadable"),
        (overwrite(SIGNING_FILE, another_key()), "secret_foreign"),
        (link_to_elsewhere, "secret_unreadable"),
        (lambda folder: (folder / PEPPER_FILE).chmod(0o640), "secret_exposed"),
        (lambda folder: (folder / SIGNING_FILE).chmod(0o604), "secret_exposed"),
        (lambda folder: changed(folder, "UPDATE alembic_version SET version_num = '9999'"), "database_newer"),
        (policy_tampered, "policy_version_damaged"),
        (lambda folder: changed(folder, "UPDATE model_version SET passport = '{}'"), "records_unreadable"),
        (lambda folder: changed(folder, "UPDATE model_version SET passport = 'x'"), "records_unreadable"),
        (lambda folder: changed(folder, "UPDATE use_case_version SET ceiling = 'niveau_9'"), "records_unreadable"),
        (lambda folder: changed(folder, "UPDATE use_case_version SET ceiling = 'staatsgeheim'"), "records_unreadable"),
        (lambda folder: changed(folder, "DROP TABLE api_key_use_case"), "records_unreadable"),
    ],
    ids=[
        "no_folder",
        "no_database",
        "no_sqlite",
        "pages_damaged",
        "database_readable_by_others",
        "no_pepper",
        "no_signing_key",
        "short_pepper",
        "other_pepper",
        "unreadable_signing_key",
        "other_signing_key",
        "pepper_is_a_link",
        "pepper_readable_by_group",
        "signing_key_readable_by_all",
        "newer_release",
        "policy_tampered",
        "empty_passport",
        "passport_no_json",
        "unknown_level",
        "state_secret_ceiling",
        "table_missing",
    ],
)
def test_a_spoiled_folder_is_refused_for_good(tmp_path: Path, spoil: Callable[[Path], object], code: str) -> None:
    folder = tmp_path / "register"
    folder.mkdir()
    with opened(folder) as one:
        made = new_key(one)
        perform(one, "model_add", {"passport": passport()})
        pepper = one.secrets.pepper
    spoil(folder)
    failure = failure_of(folder)
    assert (failure.reason_code, failure.final) == (code, True)
    assert str(failure).endswith(".")
    for secret in (pepper.hex(), made["key"], "SELECT", "INSERT"):
        assert secret not in str(failure)


def test_a_failed_start_lets_go_of_the_database(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    (tmp_path / PEPPER_FILE).chmod(0o644)
    failure_of(tmp_path)
    (tmp_path / PEPPER_FILE).chmod(0o600)
    with opened(tmp_path):
        pass


CRASHED = 77


STEPS: list[tuple[object, str]] = [
    (database, "_verify_whole"),
    (database, "_migrate"),
    (secret_files, "_write"),
    (register, "add_use_case"),
    (register, "published"),
    (register, "key_records"),
]


@pytest.mark.parametrize(("module", "name"), STEPS, ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_first_start_goes_on_where_a_crash_ended_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: object, name: str, after: bool
) -> None:
    """A child process runs up to the step and is gone there, with its files as they are."""
    real = getattr(module, name)

    def crashing(*arguments: object) -> None:
        if after:
            real(*arguments)
        os._exit(CRASHED)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(module, name, crashing)
        opened_register(tmp_path, Clock())
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == CRASHED
    with opened(tmp_path) as one:
        made = new_key(one)
        assert perform(one, "key_list", {})[0]["id"] == made["id"]
    assert rows(tmp_path, "policy_version") == 1


def test_a_change_that_cannot_be_compiled_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change and its policy version are one transaction."""
    with opened(tmp_path) as one:
        before = one.published

        def fails(*_: object) -> None:
            raise BadSnapshot("It contradicts itself.")

        with monkeypatch.context() as patch:
            patch.setattr(register, "published", fails)
            with pytest.raises(BadSnapshot):
                perform(one, "model_add", {"passport": passport()})
        assert one.published is before
        assert perform(one, "model_list", {}) == []
