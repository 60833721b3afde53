"""`ehrcore pseudonym`, and networks founded with kinds that need no key."""

import hashlib
import hmac
import io
import sys

import pytest


def found(run, folder, toml: str = ""):
    config = folder.with_suffix(".toml")
    config.write_text(toml)
    return run("network", "init", "--folder", folder, "--config", config)


def test_names_on_the_chain_and_in_studies_come_from_the_authoritys_secret(run, tmp_path, monkeypatch) -> None:
    folder = tmp_path / "network"
    assert "WEAK" not in found(run, folder).out
    secret = bytes.fromhex((folder / "authority" / "pseudonyms.key").read_text())
    chain = run("pseudonym", "p1", "--folder", folder)
    assert (chain.code, chain.out) == (0, hmac.new(secret, b"p1", "sha256").hexdigest() + "\n")
    first = run("pseudonym", "p1", "--study", "diabetes", "--folder", folder).out
    assert len({chain.out, first, run("pseudonym", "p1", "--study", "asthma", "--folder", folder).out}) == 3
    monkeypatch.setattr(sys, "stdin", io.StringIO("p1\np2\n"))
    assert run("pseudonym", "-", "--study", "diabetes", "--folder", folder).lines[0] == first.strip()
    assert secret.hex() not in chain.out + first


def test_a_weak_kind_is_said_to_be_one(run, tmp_path) -> None:
    folder = tmp_path / "network"
    done = found(run, folder, 'pseudonyms = "bare"\n')
    assert "WEAK pseudonyms: bare" in done.out
    assert "anyone who can list the ids" in done.out
    assert run("pseudonym", "p1", "--folder", folder).out.strip() == hashlib.sha256(b"p1").hexdigest()
    plan = folder / "network.json"
    plan.write_text(plan.read_text().replace('"bare"', '"keyed"'))
    assert "expected the authority's signature" in run("pseudonym", "p1", "--folder", folder).err


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ('pseudonyms = "one-time"', "pseudonyms: expected one of bare, salted, slow, keyed, per-study, found one-time"),
        ('pseudonyms = "rot13"', "rot13"),
    ],
)
def test_no_network_is_founded_with_a_kind_that_it_cannot_go_by(run, tmp_path, toml: str, told: str) -> None:
    done = found(run, tmp_path / "network", toml)
    assert done.code == 2
    assert told in done.err
    assert len(done.err.splitlines()) == 1


def test_only_where_the_authority_is(run, tmp_path) -> None:
    folder = tmp_path / "network"
    found(run, folder)
    (folder / "authority").rename(tmp_path / "elsewhere")
    done = run("pseudonym", "p1", "--folder", folder)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "expected the authority, who names patients, on this host" in done.err
