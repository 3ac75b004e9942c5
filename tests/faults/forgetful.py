"""A disk that forgets what was not synced: a file system in memory, spoken to by the kernel over /dev/fuse.

    python forgetful.py FOLDER

mounts it on FOLDER. Whoever unmounts it cuts the power: everything since the last sync is undone, and what is left is
mounted again. SIGTERM ends it for good.

What is forgotten follows an ordinary journaling file system: a file's bytes since its own last fsync (or O_SYNC write);
names, sizes and attributes since the last fsync of anything, since its journal is one for all. Undoing is a log of how
it was before: written at each change, dropped at each sync, played backwards at the power cut.

The kernel's protocol is spoken directly (linux/fuse.h, version 7.31), so that no library is needed; writes go
through, nothing is kept in the kernel that this program has not seen.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import stat
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

ROOT = 1
_IN = struct.Struct("<IIQQIIII")
_OUT = struct.Struct("<IiQ")
_ATTR = struct.Struct("<QQQQQQIIIIIIIIII")
_ENTRY = struct.Struct("<QQQQII")
_MAX_WRITE = 1 << 17
_BUFFER = _MAX_WRITE + 4096
_CAPACITY_BLOCKS = 1 << 20
_BLOCK = 4096
_MS_NOSUID_NODEV = 2 | 4


class Refused(Exception):
    """An operation fails with this errno."""

    def __init__(self, number: int) -> None:
        self.number = number


@dataclass
class Node:
    """A file, folder or symbolic link."""

    number: int
    mode: int
    uid: int
    gid: int
    links: int = 1
    content: bytearray = field(default_factory=bytearray)
    names: dict[bytes, int] = field(default_factory=dict)
    changed_ns: int = field(default_factory=time.time_ns)
    undo: list[Callable[[], None]] = field(default_factory=list)
    """How the bytes were since the last sync, oldest first."""

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)


class Disk:
    """The files, and how they were when last synced. Knows nothing of the kernel."""

    def __init__(self) -> None:
        self.nodes: dict[int, Node] = {ROOT: Node(ROOT, stat.S_IFDIR | 0o755, 0, 0, links=2)}
        self._next = ROOT + 1
        self._undo: list[Callable[[], None]] = []
        self.forgotten = 0

    def node(self, number: int) -> Node:
        """A node by number; ESTALE when it is gone."""
        found = self.nodes.get(number)
        if found is None:
            raise Refused(errno.ESTALE)
        return found

    def find(self, parent: int, name: bytes) -> Node:
        """A name in a folder; ENOENT."""
        number = self.node(parent).names.get(name)
        if number is None:
            raise Refused(errno.ENOENT)
        return self.node(number)

    def make(self, parent: int, name: bytes, mode: int, uid: int, gid: int, text: bytes = b"") -> Node:
        """A further node under a name; EEXIST."""
        folder = self.node(parent)
        if name in folder.names:
            raise Refused(errno.EEXIST)
        node = Node(self._next, mode, uid, gid, links=2 if stat.S_ISDIR(mode) else 1, content=bytearray(text))
        self._next += 1
        self.nodes[node.number] = node
        self._set_name(folder, name, node.number)
        return node

    def link(self, number: int, parent: int, name: bytes) -> Node:
        """A further name for a node."""
        node, folder = self.node(number), self.node(parent)
        if name in folder.names:
            raise Refused(errno.EEXIST)
        self._set_name(folder, name, number)
        self._set_attribute(node, "links", node.links + 1)
        return node

    def unlink(self, parent: int, name: bytes, *, folder: bool = False) -> None:
        """Take a name away; the node stays until it is synced that it is gone (it may come back)."""
        node = self.find(parent, name)
        if folder and node.names:
            raise Refused(errno.ENOTEMPTY)
        self._set_name(self.node(parent), name, None)
        self._set_attribute(node, "links", node.links - (2 if folder else 1))

    def rename(self, parent: int, name: bytes, to_parent: int, to_name: bytes, *, may_replace: bool = True) -> None:
        """Move a name; what stood there is replaced. The bytes are synced first, as file systems do for a replacement."""
        node = self.find(parent, name)
        there = self.node(to_parent).names.get(to_name)
        if there is not None and there != node.number:
            if not may_replace:
                raise Refused(errno.EEXIST)
            self.unlink(to_parent, to_name, folder=self.node(there).is_folder)
            node.undo.clear()
        self._set_name(self.node(parent), name, None)
        self._set_name(self.node(to_parent), to_name, node.number)

    def write(self, number: int, offset: int, written: bytes) -> None:
        """Put bytes into a file."""
        node = self.node(number)
        size = len(node.content)
        before = bytes(node.content[offset : offset + len(written)])

        def undo() -> None:
            node.content[offset : offset + len(before)] = before
            del node.content[size:]

        node.undo.append(undo)
        if offset > size:
            node.content.extend(bytes(offset - size))
        node.content[offset : offset + len(written)] = written
        node.changed_ns = time.time_ns()

    def resize(self, number: int, size: int) -> None:
        """Cut or lengthen a file."""
        node = self.node(number)
        tail, was = bytes(node.content[size:]), len(node.content)

        def undo() -> None:
            del node.content[min(size, was) :]
            node.content.extend(tail)

        node.undo.append(undo)
        if size < was:
            del node.content[size:]
        else:
            node.content.extend(bytes(size - was))
        node.changed_ns = time.time_ns()

    def change(self, number: int, **attributes: int) -> None:
        """Set mode, uid or gid."""
        for name, value in attributes.items():
            self._set_attribute(self.node(number), name, value)

    def sync(self, number: int) -> None:
        """This file's bytes, and all names and attributes, will be remembered."""
        self.node(number).undo.clear()
        self._undo.clear()

    def cut_power(self) -> None:
        """Forget what was not synced."""
        for node in self.nodes.values():
            self.forgotten += len(node.undo)
            while node.undo:
                node.undo.pop()()
        self.forgotten += len(self._undo)
        while self._undo:
            self._undo.pop()()

    def _set_name(self, folder: Node, name: bytes, number: int | None) -> None:
        before = folder.names.get(name)

        def put(value: int | None) -> None:
            if value is None:
                folder.names.pop(name, None)
            else:
                folder.names[name] = value

        self._undo.append(lambda: put(before))
        put(number)
        folder.changed_ns = time.time_ns()

    def _set_attribute(self, node: Node, name: str, value: int) -> None:
        before = getattr(node, name)
        self._undo.append(lambda: setattr(node, name, before))
        setattr(node, name, value)


class Kernel:
    """Answers the kernel's requests from a disk until it is unmounted."""

    def __init__(self, disk: Disk, descriptor: int) -> None:
        self._disk = disk
        self._descriptor = descriptor
        self._operations: dict[int, Callable[[int, bytes, int, int], bytes | None]] = {
            1: self._lookup,
            2: lambda *_: None,  # FORGET wants no answer
            3: self._getattr,
            4: self._setattr,
            5: lambda node, body, uid, gid: bytes(self._disk.node(node).content),  # READLINK
            6: self._symlink,
            8: self._mknod,
            9: self._mkdir,
            10: lambda node, body, uid, gid: self._unlink(node, body, folder=False),
            11: lambda node, body, uid, gid: self._unlink(node, body, folder=True),
            12: lambda node, body, uid, gid: self._rename(node, body, 8),
            13: self._link,
            14: self._open,
            15: self._read,
            16: self._write,
            17: self._statfs,
            18: lambda *_: b"",  # RELEASE
            20: self._fsync,
            25: lambda *_: b"",  # FLUSH
            26: self._init,
            27: self._open,  # OPENDIR
            28: self._readdir,
            29: lambda *_: b"",  # RELEASEDIR
            30: self._fsync,  # FSYNCDIR
            34: lambda *_: b"",  # ACCESS
            35: self._create,
            36: lambda *_: None,  # INTERRUPT
            38: lambda *_: b"",  # DESTROY
            42: lambda *_: None,  # BATCH_FORGET
            45: lambda node, body, uid, gid: self._rename(node, body, 16),  # RENAME2
        }

    def serve(self) -> None:
        """Answer until the file system is unmounted."""
        while True:
            try:
                request = os.read(self._descriptor, _BUFFER)
            except OSError as error:
                if error.errno in (errno.ENODEV, errno.EBADF):
                    return
                if error.errno in (errno.EINTR, errno.EAGAIN, errno.ENOENT):
                    continue
                raise
            self._answer(request)

    def _answer(self, request: bytes) -> None:
        _, operation, unique, node, uid, gid, _, _ = _IN.unpack_from(request)
        handle = self._operations.get(operation, _unknown)
        try:
            answer = handle(node, request[_IN.size :], uid, gid)
        except Refused as refused:
            self._send(unique, -refused.number, b"")
            return
        if answer is not None:
            self._send(unique, 0, answer)

    def _send(self, unique: int, error: int, body: bytes) -> None:
        try:
            os.write(self._descriptor, _OUT.pack(_OUT.size + len(body), error, unique) + body)
        except FileNotFoundError:
            return  # the request was interrupted meanwhile

    def _init(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        major, _, readahead, _ = struct.unpack_from("<IIII", body)
        atomic_truncate, big_writes = 1 << 3, 1 << 5
        flags = atomic_truncate | big_writes
        return struct.pack(
            "<IIIIHHIIHHI28x", major, 31, readahead, flags, 16, 12, _MAX_WRITE, 1, _MAX_WRITE // 4096, 0, 0
        )

    def _attributes(self, node: Node) -> bytes:
        seconds, nanos = divmod(node.changed_ns, 1_000_000_000)
        size = len(node.content)
        blocks = -(-size // 512)
        times = (seconds, seconds, seconds, nanos, nanos, nanos)
        return _ATTR.pack(node.number, size, blocks, *times, node.mode, node.links, node.uid, node.gid, 0, _BLOCK, 0)

    def _entry(self, node: Node) -> bytes:
        # Nothing is kept by the kernel: names and sizes are asked for anew each time.
        return _ENTRY.pack(node.number, 0, 0, 0, 0, 0) + self._attributes(node)

    def _attr_out(self, node: Node) -> bytes:
        return struct.pack("<QII", 0, 0, 0) + self._attributes(node)

    def _lookup(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        return self._entry(self._disk.find(node, body.rstrip(b"\0")))

    def _getattr(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        return self._attr_out(self._disk.node(node))

    def _setattr(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        valid, _, _, size, _, _, _, _, _, _, _, mode, _, owner, group, _ = struct.unpack_from("<IIQQQQQQIIIIIIII", body)
        found = self._disk.node(node)
        if valid & 8:
            self._disk.resize(node, size)
        if valid & 1:
            self._disk.change(node, mode=stat.S_IFMT(found.mode) | stat.S_IMODE(mode))
        if valid & 2:
            self._disk.change(node, uid=owner)
        if valid & 4:
            self._disk.change(node, gid=group)
        return self._attr_out(found)

    def _symlink(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        name, target = body.split(b"\0")[:2]
        return self._entry(self._disk.make(node, name, stat.S_IFLNK | 0o777, uid, gid, target))

    def _mknod(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        (mode,) = struct.unpack_from("<I", body)
        return self._entry(self._disk.make(node, body[16:].rstrip(b"\0"), mode, uid, gid))

    def _mkdir(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        (mode,) = struct.unpack_from("<I", body)
        name = body[8:].rstrip(b"\0")
        return self._entry(self._disk.make(node, name, stat.S_IFDIR | stat.S_IMODE(mode), uid, gid))

    def _unlink(self, node: int, body: bytes, *, folder: bool) -> bytes:
        self._disk.unlink(node, body.rstrip(b"\0"), folder=folder)
        return b""

    def _rename(self, node: int, body: bytes, header: int) -> bytes:
        (to_parent,) = struct.unpack_from("<Q", body)
        flags = struct.unpack_from("<I", body, 8)[0] if header == 16 else 0
        if flags & ~1:
            raise Refused(errno.EINVAL)
        name, to_name = body[header:].split(b"\0")[:2]
        self._disk.rename(node, name, to_parent, to_name, may_replace=not flags)
        return b""

    def _link(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        (number,) = struct.unpack_from("<Q", body)
        return self._entry(self._disk.link(number, node, body[8:].rstrip(b"\0")))

    def _open(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        (flags,) = struct.unpack_from("<I", body)
        if flags & os.O_TRUNC and not self._disk.node(node).is_folder:
            self._disk.resize(node, 0)
        return struct.pack("<QII", node, 0, 0)

    def _create(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        _, mode = struct.unpack_from("<II", body)
        made = self._disk.make(node, body[16:].rstrip(b"\0"), stat.S_IFREG | stat.S_IMODE(mode), uid, gid)
        return self._entry(made) + struct.pack("<QII", made.number, 0, 0)

    def _read(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        return bytes(self._disk.node(node).content[offset : offset + size])

    def _write(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        _, offset, size, _, _, flags, _ = struct.unpack_from("<QQIIQII", body)
        self._disk.write(node, offset, body[40 : 40 + size])
        if flags & os.O_DSYNC:
            self._disk.sync(node)
        return struct.pack("<II", size, 0)

    def _fsync(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        self._disk.sync(node)
        return b""

    def _statfs(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        free = _CAPACITY_BLOCKS
        return struct.pack("<QQQQQIIII24x", free, free, free, 1 << 20, 1 << 20, _BLOCK, 255, _BLOCK, 0)

    def _readdir(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        folder = self._disk.node(node)
        listed = [(b".", node), (b"..", node), *sorted(folder.names.items())]
        out = b""
        for index, (name, number) in enumerate(listed[offset:], offset + 1):
            kind = stat.S_IFMT(self._disk.node(number).mode) >> 12
            row = struct.pack("<QQII", number, index, len(name), kind) + name
            row += bytes(-len(row) % 8)
            if len(out) + len(row) > size:
                break
            out += row
        return out


def _unknown(node: int, body: bytes, uid: int, gid: int) -> bytes:
    raise Refused(errno.ENOSYS)


def mount(folder: str) -> int:
    """Mount on a folder; the descriptor to serve. Raises OSError."""
    descriptor = os.open("/dev/fuse", os.O_RDWR)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={descriptor},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions"
    if libc.mount(b"forgetful", os.fsencode(folder), b"fuse", _MS_NOSUID_NODEV, options.encode()) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), folder)
    return descriptor


def main(folder: str) -> None:
    """Serve until told to end; each unmount in between is a power cut."""
    disk = Disk()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    while True:
        descriptor = mount(folder)
        Kernel(disk, descriptor).serve()
        os.close(descriptor)
        disk.cut_power()
        print(f"power cut: {disk.forgotten} changes forgotten so far", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
