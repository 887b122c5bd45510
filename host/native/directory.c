// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Directories, and the gate's part for what is done in them. A directory is granted, as a listener is: JavaScript opens
// it, Wasm gets its index in this ring's table and never a descriptor.
//
//   names       a copy of ours, at most PATH_BYTES with its end; the kernel takes its own while it takes the submission
//   open        a path beneath the directory: RESOLVE_BENEATH is forced, so neither .. nor a link leads out of it, and
//               RESOLVE_NO_XDEV, so no mount is crossed
//   the rest    the kernel has no RESOLVE_BENEATH for them: one name, with no slash, and neither . nor ..
//
// A directory of procfs, sysfs or the like is not granted: /proc/self/mem is all memory of this process. As no mount is
// crossed, what is opened beneath a directory lies in the file system that was looked at when it was granted.
//
// The kernel looks a directory's descriptor up when it executes, maybe later, in a thread of its own. So the number of
// a closed one is kept for the table, with the ring behind it, which is no directory. A late operation gets ENOTDIR, or
// another directory that was granted. It never reaches a file outside.
//
// Next: ring.c.
#include "ring.h"
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define OPEN_FLAGS (O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK)
#define RESOLVE (RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
#define CEPH_MAGIC 0x00c36400
#define CIFS_MAGIC 0xff534d42
#define SMB2_MAGIC 0xfe534d42
#define EFIVARFS_TYPE 0xde5e81e4

// --- the table -------------------------------------------------------------------------------------------------------

static int find_free(const struct ring *ring)
{
	for (int index = 0; index < DIRECTORIES_MAX; index++) {
		if (!ring->directory_granted[index])
			return index;
	}
	return -EMFILE;
}

// Whether a directory lies in a file system that stores files: 0, -ENODEV if it does not, or -errno. File systems such
// as procfs and sysfs lead into the kernel, or into this process. They say that they have no blocks. A few of the
// others may say so, too: those are named.
static int check_file_system(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs))
		return -errno;
	switch ((uint32_t)fs.f_type) {
	case PROC_SUPER_MAGIC:
	case SYSFS_MAGIC:
	case EFIVARFS_TYPE:
		return -ENODEV;
	case TMPFS_MAGIC:
	case RAMFS_MAGIC:
	case OVERLAYFS_SUPER_MAGIC:
	case FUSE_SUPER_MAGIC:
	case NFS_SUPER_MAGIC:
	case V9FS_MAGIC:
	case CEPH_MAGIC:
	case CIFS_MAGIC:
	case SMB2_MAGIC:
		return 0;
	default:
		return fs.f_blocks ? 0 : -ENODEV;
	}
}

int directory_open(struct ring *ring, const char *path, int parent, bool crosses_mounts)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC };
	int index = find_free(ring), at = AT_FDCWD, fd, error;

	if (index < 0)
		return index;
	if (parent >= 0) {
		if (parent >= DIRECTORIES_MAX || !ring->directory_granted[parent])
			return -EBADF;
		at = ring->directories[parent];
		how.resolve = RESOLVE | (crosses_mounts ? 0 : RESOLVE_NO_XDEV);
	}
	fd = (int)syscall(__NR_openat2, at, path, &how, sizeof(how));
	if (fd < 0)
		return -errno;
	error = check_file_system(fd);
	if (error) {
		close(fd);
		return error;
	}
	if (ring->directories[index] < 0) {
		ring->directories[index] = fd;
	} else {
		dup3(fd, ring->directories[index], O_CLOEXEC); // cannot fail: both are open
		close(fd);
	}
	ring->directory_granted[index] = true;
	return index;
}

int directory_close(struct ring *ring, unsigned index)
{
	if (index >= DIRECTORIES_MAX || !ring->directory_granted[index])
		return -EBADF;
	dup3(ring->fd, ring->directories[index], O_CLOEXEC); // cannot fail, and needs no descriptor: there may be none
	ring->directory_granted[index] = false;
	return 0;
}

int directory_fd(const struct ring *ring, unsigned index)
{
	return index < DIRECTORIES_MAX && ring->directory_granted[index] ? ring->directories[index] : -EBADF;
}

void directories_close(struct ring *ring)
{
	for (int index = 0; index < DIRECTORIES_MAX; index++) {
		if (ring->directories[index] >= 0)
			close(ring->directories[index]);
	}
}

// --- the gate --------------------------------------------------------------------------------------------------------

// Copies a path to the place of its submission: 0 or -errno.
static int copy_path(const struct ring *ring, uint64_t at, char *copy)
{
	uint64_t room = 0;
	const uint8_t *from = gate_find(ring, at, &room);
	size_t bytes = room < PATH_BYTES ? (size_t)room : PATH_BYTES;

	if (!from || !bytes)
		return -EFAULT;
	memcpy(copy, from, bytes);
	__asm__ volatile("" ::: "memory"); // private: what is checked is the copy, not what lies there by now
	if (!memchr(copy, 0, bytes))
		return bytes == PATH_BYTES ? -ENAMETOOLONG : -EFAULT;
	return *copy ? 0 : -ENOENT;
}

static int copy_name(const struct ring *ring, uint64_t at, char *copy)
{
	int error = copy_path(ring, at, copy);

	if (error)
		return error;
	return strchr(copy, '/') || !strcmp(copy, ".") || !strcmp(copy, "..") ? -EPERM : 0;
}

static int admit_open(const struct ring *ring, const struct io_uring_sqe *in, struct io_uring_sqe *out,
		      struct path_copies *copies)
{
	const uint8_t *from = gate_bytes(ring, in->off, sizeof(struct open_how));
	struct open_how *how = &copies->how;
	int error;

	if (in->len != sizeof(*how) || in->rw_flags || in->file_index != FILE_INDEX_ALLOC)
		return -EINVAL;
	if (in->flags & IOSQE_CQE_SKIP_SUCCESS) // its slot would stay unknown
		return -EINVAL;
	if (!from)
		return -EFAULT;
	memcpy(how, from, sizeof(*how));
	__asm__ volatile("" ::: "memory");
	if (how->flags & ~(uint64_t)OPEN_FLAGS || how->mode & ~0777ull || how->resolve)
		return -EINVAL;
	how->resolve = RESOLVE | RESOLVE_NO_XDEV;
	error = copy_path(ring, in->addr, copies->path);
	out->off = (uint64_t)(uintptr_t)how;
	out->len = sizeof(*how);
	out->file_index = FILE_INDEX_ALLOC;
	return error;
}

static int admit_stat(const struct ring *ring, const struct io_uring_sqe *in, struct io_uring_sqe *out,
		      struct path_copies *copies)
{
	uint8_t *into = gate_bytes(ring, in->off, sizeof(struct statx));

	if (in->rw_flags || in->file_index)
		return -EINVAL;
	if (!into)
		return -EFAULT;
	out->off = (uint64_t)(uintptr_t)into; // written when it is executed
	out->len = in->len;
	out->statx_flags = AT_SYMLINK_NOFOLLOW;
	return copy_name(ring, in->addr, copies->path);
}

static int admit_rename(const struct ring *ring, const struct io_uring_sqe *in, struct io_uring_sqe *out,
			struct path_copies *copies)
{
	int to = directory_fd(ring, in->len), error;

	if (to < 0)
		return to;
	if (in->rename_flags & ~1u /* RENAME_NOREPLACE */ || in->file_index)
		return -EINVAL;
	out->len = (uint32_t)to;
	out->off = (uint64_t)(uintptr_t)copies->other;
	out->rename_flags = in->rename_flags;
	error = copy_name(ring, in->addr, copies->path);
	return error ? error : copy_name(ring, in->off, copies->other);
}

int gate_admit_path(struct ring *ring, const struct io_uring_sqe *in, struct io_uring_sqe *out, unsigned sq_index)
{
	struct path_copies *copies = &ring->paths[sq_index];
	int fd = directory_fd(ring, (unsigned)in->fd);

	if (fd < 0)
		return fd;
	if (in->ioprio)
		return -EINVAL;
	out->fd = fd;
	out->addr = (uint64_t)(uintptr_t)copies->path;
	switch (in->opcode) {
	case IORING_OP_OPENAT2:
		return admit_open(ring, in, out, copies);
	case IORING_OP_STATX:
		return admit_stat(ring, in, out, copies);
	case IORING_OP_RENAMEAT:
		return admit_rename(ring, in, out, copies);
	case IORING_OP_UNLINKAT:
		if (in->unlink_flags & ~(unsigned)AT_REMOVEDIR || in->off || in->len || in->file_index)
			return -EINVAL;
		out->unlink_flags = in->unlink_flags;
		return copy_name(ring, in->addr, copies->path);
	default: /* IORING_OP_MKDIRAT */
		if (in->len & ~0777u || in->off || in->rw_flags || in->file_index)
			return -EINVAL;
		out->len = in->len;
		return copy_name(ring, in->addr, copies->path);
	}
}
