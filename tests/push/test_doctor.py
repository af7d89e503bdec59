"""The doctor's look at receivers: a real Alertmanager, open and guarded; what answers instead of one; a webhook's address."""

from pathlib import Path

import httpx

from whydrift.shell.doctor.finding import Finding, Verdict
from whydrift.shell.doctor.push_checks import check_alertmanagers, check_webhooks
from whydrift.shell.push.settings import Access, AlertmanagerSettings, WebhookSettings

from .answering import Answering
from .bearer_proxy import BearerProxy
from .conftest import Alertmanager


def found(url: str, access: Access | None = None, now_s: float | None = None) -> list[Finding]:
    settings = AlertmanagerSettings(urls=(url,), access=access or Access(), timeout_s=5.0)
    return list(check_alertmanagers(settings, lambda: there_s(url) if now_s is None else now_s))


def there_s(url: str) -> float:
    """What the server's clock says, as this test does not depend on this machine's."""
    from email.utils import parsedate_to_datetime

    return parsedate_to_datetime(httpx.get(url).headers["date"]).timestamp()


def test_an_alertmanager_is_well_and_says_its_version(alertmanager: Alertmanager) -> None:
    (one,) = found(alertmanager.url)
    assert (one.verdict, one.subject) == (Verdict.OK, "alertmanager")
    assert "version 0." in one.told


def test_a_clock_that_is_off_is_told_with_how_far(alertmanager: Alertmanager) -> None:
    _, clocks = found(alertmanager.url, now_s=there_s(alertmanager.url) - 600)
    assert (clocks.verdict, clocks.subject) == (Verdict.WARN, "clocks")
    assert "600 s ahead of" in clocks.told or "601 s ahead of" in clocks.told


def test_wrong_credentials_and_a_missing_authority_are_told_apart(guarded: tuple[Alertmanager, Path]) -> None:
    server, folder = guarded
    (folder / "wrong").write_text("wrong")
    certificates = {"certificate_file": folder / "client.pem", "key_file": folder / "client.key"}
    wrong = Access(username="ana", password_file=folder / "wrong", ca_file=folder / "ca.pem", **certificates)
    (one,) = found(server.url, wrong, now_s=0.0)
    assert "answers 401: not let in" in one.told
    (one,) = found(server.url, Access(username="ana", password="correct horse"), now_s=0.0)
    assert "certificate" in one.told.lower()
    (one,) = found(server.url, Access(ca_file=folder / "gone.pem"), now_s=0.0)
    assert f"{folder}/gone.pem" in one.told
    assert one.verdict is Verdict.FAIL


def test_the_right_credentials_are_let_in(guarded: tuple[Alertmanager, Path]) -> None:
    server, folder = guarded
    access = Access(
        username="ana",
        password_file=folder / "password",
        ca_file=folder / "ca.pem",
        certificate_file=folder / "client.pem",
        key_file=folder / "client.key",
    )
    assert found(server.url, access, now_s=0.0)[0].verdict is Verdict.OK


def test_a_bearer_token_is_tried_as_the_worker_will(alertmanager: Alertmanager) -> None:
    with BearerProxy(alertmanager.url, "first") as door:
        (let_in,) = found(door.url, Access(bearer_token="first"), now_s=there_s(alertmanager.url))
        assert (let_in.verdict, "version 0." in let_in.told) == (Verdict.OK, True)
        (kept_out,) = found(door.url, Access(bearer_token="other"), now_s=0.0)
        assert kept_out.told == f"{door.url} answers 401: not let in"
        assert "bearer_token" in kept_out.mend


def test_what_is_no_alertmanager_is_not_taken_for_one(alertmanager: Alertmanager) -> None:
    (one,) = found(f"{alertmanager.url}/elsewhere", now_s=0.0)
    assert (one.verdict, "not as an Alertmanager does" in one.told) == (Verdict.FAIL, True)


def test_nobody_listening_is_told_with_the_address(alertmanager: Alertmanager) -> None:
    alertmanager.stop()
    (one,) = found(alertmanager.url, now_s=0.0)
    assert one.told == f"{alertmanager.url}: connection refused"


def test_a_webhook_is_connected_to_and_nothing_is_posted(tmp_path: Path) -> None:
    with Answering() as server:
        (one,) = check_webhooks(WebhookSettings(urls=(server.url,), secret="whsec_c2VjcmV0"))
        assert (one.verdict, one.told) == (Verdict.OK, f"{server.url} is reached (nothing was posted), signed")
        (one,) = check_webhooks(WebhookSettings(urls=(server.url,), secret_file=tmp_path / "gone"))
        assert one.told.startswith(f"webhook.secret_file is {tmp_path}/gone, which cannot be read")
        (one,) = check_webhooks(WebhookSettings(urls=(server.url.replace("http:", "https:"),)))
        assert (one.verdict, "no TLS handshake" in one.told) == (Verdict.FAIL, True)
        assert server.bodies == []
    (one,) = check_webhooks(WebhookSettings(urls=(server.url,)))
    assert one.told == f"{server.url}: connection refused"
