"""Uploads that no well-behaved HTTP client would send, to a real server."""

import json

import httpx2
from conftest import MAX_VALUE_BYTES
from service_process import ServiceProcess, read_answer


def test_a_declared_size_above_the_limit_is_refused_before_the_body_is_sent(running_service: ServiceProcess) -> None:
    with running_service.connect() as connection:
        connection.sendall(b"PUT /cache/huge HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        status, _ = read_answer(connection)
    assert status == 413


def test_a_chunked_upload_is_refused_as_soon_as_it_passes_the_limit(running_service: ServiceProcess) -> None:
    too_much = b"x" * (MAX_VALUE_BYTES + 1)
    with running_service.connect() as connection:
        connection.sendall(b"PUT /cache/endless HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(b"%x\r\n%s\r\n" % (len(too_much), too_much))  # and no last chunk: the upload goes on
        status, body = read_answer(connection)
    assert status == 413
    assert json.loads(body) == {"detail": f"The value is larger than {MAX_VALUE_BYTES} bytes."}


def test_an_upload_that_is_broken_off_stores_nothing_and_is_no_server_error(running_service: ServiceProcess) -> None:
    with running_service.connect() as connection:
        connection.sendall(b"PUT /cache/half HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf of it")
    running_service.wait_for_log('"path": "/cache/half"')
    [line] = [line for line in running_service.log().splitlines() if '"path": "/cache/half"' in line]
    assert json.loads(line)["status"] == 400
    assert "Traceback" not in running_service.log()
    assert httpx2.get(f"{running_service.url}/cache/half").status_code == 404


def test_a_value_in_many_chunks_is_put_together(running_service: ServiceProcess) -> None:
    chunks = [b"one", b"two", b"three"]
    assert httpx2.put(f"{running_service.url}/cache/chunks", content=iter(chunks)).status_code == 204
    assert httpx2.get(f"{running_service.url}/cache/chunks").content == b"onetwothree"
