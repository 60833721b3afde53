"""The other end of the bare round trip: ``python echo.py BYTES`` says its port, then sends back what it gets.

It is run as a file, for which nothing else of the project is loaded.
"""

import socket
import sys


def receive_all(connection: socket.socket, buffer: bytearray) -> bool:
    """Fill ``buffer``; False if the other end hangs up before."""
    view, size = memoryview(buffer), 0
    while size < len(buffer):
        got = connection.recv_into(view[size:])
        if not got:
            return False
        size += got
    return True


def main() -> None:
    """Serve the first to connect until it hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sys.stdout.write(f"{server.getsockname()[1]}\n")
        sys.stdout.flush()
        connection, _ = server.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = bytearray(int(sys.argv[1]))
    with connection:
        while receive_all(connection, buffer):
            connection.sendall(buffer)


if __name__ == "__main__":
    main()
