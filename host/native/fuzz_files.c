// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The fuzzer's files. The gate lets a ring use names in two directories, and nowhere else:
//
//   folder/            secret                                       never read, written, moved or removed
//                      door, shut     Unix sockets: the path of one was granted, and nobody may come to the other
//   folder/in/         d/  out -> ../secret  up -> ..  abs -> folder/secret      directory 0, and d is directory 1
//
// The paths are a few short names, and ways out (fuzz_files_text). Any other private copy of a path becomes a short
// name before the kernel sees it. No hole may lead the fuzzer to files that are not its own.
//
// Next: fuzz.c.
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "fuzz.h"

#define SECRET_BYTES 4096

static const char *const texts[] = {
	"a", "b", "c", "d", "d/a", "d/b", "out", "up", "abs", "..", ".", "../secret", "up/secret", "d/../../secret",
	"d/..", "../in/a", "a/", "/", "",
};
#define TEXTS (sizeof(texts) / sizeof(*texts))

void fuzz_files_path(const struct fuzz *fuzz, const char *name, char *path, size_t bytes)
{
	snprintf(path, bytes, "%s/%s", fuzz->folder, name);
}

static const char *in_folder(const struct fuzz *fuzz, const char *name, char *path)
{
	fuzz_files_path(fuzz, name, path, 128);
	return path;
}

// --- what is asked for -----------------------------------------------------------------------------------------------

void fuzz_files_text(const struct fuzz *fuzz, uint64_t *r, uint8_t *at)
{
	unsigned which = below(r, TEXTS + 3);
	char secret[128];

	if (which < TEXTS)
		memcpy(at, texts[which], strlen(texts[which]) + 1);
	else if (which == TEXTS)
		memcpy(at, secret, strlen(in_folder(fuzz, "secret", secret)) + 1);
	else
		memset(at, 'x', TEXT_BYTES); // without an end, or with one that is too far away
}

static bool is_listed(const struct fuzz *fuzz, const char *path)
{
	char secret[128];

	for (size_t i = 0; i < TEXTS; i++) {
		if (!strcmp(path, texts[i]))
			return true;
	}
	return !strcmp(path, in_folder(fuzz, "secret", secret));
}

static void tame_path(const struct fuzz *fuzz, char *path)
{
	if (is_listed(fuzz, path))
		return;
	path[0] = "abcd"[path[0] & 3];
	path[1] = 0;
}

void fuzz_files_tame(const struct fuzz *fuzz, struct io_uring_sqe *sqe, struct path_copies *copies)
{
	switch (sqe->opcode) {
	case IORING_OP_WRITE: // no huge files
	case OP_FTRUNCATE:
		sqe->off &= 0xffff;
		return;
	case IORING_OP_STATX: // written late, by a thread of the kernel's: not where the judges read
		if (sqe->off - (uint64_t)(uintptr_t)fuzz->arena < DATA_AT)
			sqe->off += DATA_AT;
		tame_path(fuzz, copies->path);
		return;
	case IORING_OP_RENAMEAT:
		tame_path(fuzz, copies->other);
		/* fallthrough */
	case IORING_OP_OPENAT2:
	case IORING_OP_UNLINKAT:
	case IORING_OP_MKDIRAT:
		tame_path(fuzz, copies->path);
	}
}

// --- the auditor's part ----------------------------------------------------------------------------------------------

static bool is_directory(const struct fuzz *fuzz, int fd)
{
	for (int i = 0; i < DIRECTORIES; i++) {
		if (fd == fuzz->ring.directories[i] && fuzz->ring.directory_granted[i])
			return true;
	}
	return false;
}

static bool is_name(const char *copy)
{
	size_t length = strnlen(copy, PATH_BYTES);

	return length > 0 && length < PATH_BYTES && !memchr(copy, '/', length) && strcmp(copy, ".") && strcmp(copy, "..");
}

static const char *audit_open(const struct io_uring_sqe *sqe, const struct path_copies *copies)
{
	const uint64_t flags = O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK;

	if (sqe->off != (uint64_t)(uintptr_t)&copies->how || sqe->len != sizeof(copies->how))
		return "an open_how";
	if (copies->how.resolve != (RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV))
		return "a path that may lead out";
	if (copies->how.flags & ~flags || copies->how.mode & ~0777ull)
		return "a flag of open_how";
	if (sqe->file_index != FILE_INDEX_ALLOC || sqe->flags)
		return "a file that nobody learns of, or a descriptor";
	return strnlen(copies->path, PATH_BYTES) < PATH_BYTES ? NULL : "a path without an end";
}

const char *fuzz_files_audit(const struct fuzz *fuzz, const struct io_uring_sqe *sqe, const struct path_copies *copies)
{
	if (sqe->flags & ~IOSQE_CQE_SKIP_SUCCESS || sqe->ioprio || !is_directory(fuzz, sqe->fd))
		return "a directory";
	if (sqe->addr != (uint64_t)(uintptr_t)copies->path)
		return "a path that may change";
	if (sqe->opcode == IORING_OP_OPENAT2)
		return audit_open(sqe, copies);
	if (!is_name(copies->path) || sqe->file_index)
		return "a name";
	switch (sqe->opcode) {
	case IORING_OP_STATX:
		if (sqe->statx_flags != AT_SYMLINK_NOFOLLOW)
			return "a stat";
		return fuzz_is_inside(fuzz, sqe->off, sizeof(struct statx)) ? NULL : "a stat outside";
	case IORING_OP_RENAMEAT:
		if (!is_directory(fuzz, (int)sqe->len) || sqe->rename_flags > 1)
			return "the other directory";
		return sqe->off == (uint64_t)(uintptr_t)copies->other && is_name(copies->other) ? NULL : "the other name";
	case IORING_OP_UNLINKAT:
		return (sqe->unlink_flags | AT_REMOVEDIR) == AT_REMOVEDIR && !sqe->len && !sqe->off ? NULL : "an unlink";
	default: /* IORING_OP_MKDIRAT */
		return sqe->len <= 0777 && !sqe->off && !sqe->rw_flags ? NULL : "a mkdir";
	}
}

// --- what really happened --------------------------------------------------------------------------------------------

static bool secret_is_whole(struct fuzz *fuzz)
{
	static const uint8_t canary[16] = { [0 ... 15] = CANARY_BYTE };
	const struct stat *then = &fuzz->secret;
	uint8_t bytes[SECRET_BYTES + 1];
	struct stat now;
	char path[128];
	ssize_t n;
	int fd;

	in_folder(fuzz, "secret", path);
	if (lstat(path, &now) || now.st_ino != then->st_ino || now.st_mode != then->st_mode || now.st_nlink != 1 ||
	    now.st_size != SECRET_BYTES || memcmp(&now.st_mtim, &then->st_mtim, sizeof(now.st_mtim)) ||
	    memcmp(&now.st_ctim, &then->st_ctim, sizeof(now.st_ctim)))
		return FUZZ_VIOLATION(fuzz, "the file outside was changed"), false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, bytes, sizeof(bytes));
	close(fd);
	if (n != SECRET_BYTES || bytes[0] != CANARY_BYTE || memcmp(bytes, bytes + 1, SECRET_BYTES - 1))
		return FUZZ_VIOLATION(fuzz, "the file outside was written"), false;
	if (memmem(fuzz->arena, ARENA_BYTES, canary, sizeof(canary)) ||
	    memmem(fuzz->blocks, BLOCKS_BYTES, canary, sizeof(canary)))
		return FUZZ_VIOLATION(fuzz, "bytes from outside were read"), false;
	return true;
}

// Accepts the connections that wait.
static bool doors_are_whole(struct fuzz *fuzz)
{
	int fd;

	while ((fd = accept4(fuzz->door, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		close(fd);
	fd = accept4(fuzz->shut_door, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return true;
	close(fd);
	return FUZZ_VIOLATION(fuzz, "a Unix socket was connected that was not granted"), false;
}

bool fuzz_files_are_whole(struct fuzz *fuzz)
{
	DIR *folder = opendir(fuzz->folder);
	struct dirent *entry;
	unsigned count = 0;

	while (folder && (entry = readdir(folder)))
		count += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
	if (folder)
		closedir(folder);
	if (count != 4) // secret, in, and two doors
		return FUZZ_VIOLATION(fuzz, "%u files outside, not 4", count), false;
	return secret_is_whole(fuzz) && doors_are_whole(fuzz);
}

// --- life ------------------------------------------------------------------------------------------------------------

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *position)
{
	(void)stat;
	(void)type;
	(void)position;
	return remove(path), 0; // the next call sees the rest
}

static void wipe(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

// Nothing may be running: puts everything back to where it was, and gives directory 1 anew.
bool fuzz_files_renew(struct fuzz *fuzz)
{
	char path[128], secret[128];
	struct dirent *entry;
	DIR *in = opendir(in_folder(fuzz, "in", path));

	while (in && (entry = readdir(in))) {
		char inner[400];

		snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			wipe(inner);
	}
	if (in)
		closedir(in);
	in_folder(fuzz, "secret", secret);
	if (mkdir(in_folder(fuzz, "in/d", path), 0700) || symlink("../secret", in_folder(fuzz, "in/out", path)) ||
	    symlink("..", in_folder(fuzz, "in/up", path)) || symlink(secret, in_folder(fuzz, "in/abs", path)))
		return FUZZ_VIOLATION(fuzz, "the directory could not be made anew"), false;
	if (fuzz->ring.directory_granted[1])
		directory_close(&fuzz->ring, 1);
	if (directory_open(&fuzz->ring, "d", 0, false) != 1)
		return FUZZ_VIOLATION(fuzz, "a directory could not be granted"), false;
	return true;
}

static int open_door(const struct fuzz *fuzz, const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	fuzz_files_path(fuzz, name, address.sun_path, sizeof(address.sun_path));
	return fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 64) ? -1 : fd;
}

bool fuzz_files_open(struct fuzz *fuzz)
{
	uint8_t bytes[SECRET_BYTES];
	char path[128];
	bool ok = false;
	int fd;

	for (int i = 0; i < 2 && !ok; i++) { // in memory, where there is such a place: FSYNC costs nothing there
		snprintf(fuzz->folder, sizeof(fuzz->folder), "%s/featherstar-fuzz-%d-XXXXXX", i ? "/tmp" : "/dev/shm", getpid());
		ok = mkdtemp(fuzz->folder) != NULL;
	}
	if (!ok)
		return false;
	memset(bytes, CANARY_BYTE, sizeof(bytes));
	fd = open(in_folder(fuzz, "secret", path), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ok = write(fd, bytes, sizeof(bytes)) == SECRET_BYTES && !fstat(fd, &fuzz->secret);
	close(fd);
	fuzz->door = open_door(fuzz, "door");
	fuzz->shut_door = open_door(fuzz, "shut");
	ok = ok && fuzz->door >= 0 && fuzz->shut_door >= 0 &&
	     !address_set_path(&fuzz->ring, DOOR_INDEX, in_folder(fuzz, "door", path));
	return ok && !mkdir(in_folder(fuzz, "in", path), 0700) && directory_open(&fuzz->ring, path, -1, false) == 0 &&
	       fuzz_files_renew(fuzz);
}

void fuzz_files_close(struct fuzz *fuzz)
{
	close(fuzz->door);
	close(fuzz->shut_door);
	wipe(fuzz->folder);
}
