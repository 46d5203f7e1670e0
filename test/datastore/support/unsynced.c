/*
 * A disk that forgets: preloaded into a process, it notes every write to the store's files with what was there before, and
 * every fsync. After the process was killed the notes say which writes no fsync covered; the test takes a choice of them back.
 * UNSYNCED_NOTES: where the notes go. UNSYNCED_LIE=1: fsync promises and does not keep, to prove that the test would see it.
 *
 * A note: kind (of a cut: bytes that a shorter length takes away), file, offset, length of the bytes, length of the file before (8 bytes each), then the old bytes and the new.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WRITE = 1, TRUNCATE = 2, SYNC = 3, CUT = 4 };
enum { FILES = 2, LONGEST = 1 << 20, DISK_MICROSECONDS = 1000 };
static const char *endings[FILES] = {"datastore.db", "datastore.db-wal"};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int notes = -1;
/* How many writes there were, and how many of them an fsync covered. */
static uint64_t noted[FILES], durable[FILES];
/* How often the notes began anew. */
static uint64_t forgotten;

static int file_of(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0) return -1;
  path[length] = 0;
  for (int file = 0; file < FILES; file++) {
    size_t ending = strlen(endings[file]);
    if ((size_t)length > ending && strcmp(path + length - ending, endings[file]) == 0) return file;
  }
  return -1;
}

static int note_file(void) {
  const char *path = getenv("UNSYNCED_NOTES");
  if (notes < 0 && path) notes = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  return notes;
}

static void all(int fd, const void *bytes, size_t length) {
  while (length > 0) {
    ssize_t done = write(fd, bytes, length);
    if (done <= 0) abort();
    bytes = (const char *)bytes + done;
    length -= (size_t)done;
  }
}

static void note(int fd, uint64_t kind, int file, uint64_t offset, const void *fresh, uint64_t length) {
  static char old[LONGEST];
  struct stat before;
  if (note_file() < 0 || fstat(fd, &before) != 0) return;
  if (length > LONGEST) abort();
  memset(old, 0, length);
  static ssize_t (*read_at)(int, void *, size_t, off_t);
  if (!read_at) read_at = dlsym(RTLD_NEXT, "pread64");
  if (length > 0 && read_at(fd, old, length, (off_t)offset) < 0) memset(old, 0, length);
  uint64_t head[5] = {kind, (uint64_t)file, offset, length, (uint64_t)before.st_size};
  all(notes, head, sizeof head);
  all(notes, old, length);
  all(notes, fresh, length);
  noted[file]++;
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset) {
  static ssize_t (*next)(int, const void *, size_t, off_t);
  if (!next) next = dlsym(RTLD_NEXT, "pwrite64");
  int file = file_of(fd);
  if (file < 0) return next(fd, bytes, length, offset);
  pthread_mutex_lock(&lock);
  note(fd, WRITE, file, (uint64_t)offset, bytes, length);
  ssize_t done = next(fd, bytes, length, offset);
  pthread_mutex_unlock(&lock);
  return done;
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) { return pwrite64(fd, bytes, length, offset); }

int ftruncate64(int fd, off_t length) {
  static int (*next)(int, off_t);
  if (!next) next = dlsym(RTLD_NEXT, "ftruncate64");
  int file = file_of(fd);
  if (file < 0) return next(fd, length);
  pthread_mutex_lock(&lock);
  struct stat before;
  static char nothing[1];
  /* What is cut off is noted as writes, so that it can be put back. */
  if (fstat(fd, &before) == 0) {
    for (off_t at = length; at < before.st_size; at += LONGEST) {
      uint64_t part = before.st_size - at < LONGEST ? (uint64_t)(before.st_size - at) : LONGEST;
      char *zeros = calloc(1, part);
      note(fd, CUT, file, (uint64_t)at, zeros, part);
      free(zeros);
    }
  }
  note(fd, TRUNCATE, file, (uint64_t)length, nothing, 0);
  int result = next(fd, length);
  pthread_mutex_unlock(&lock);
  return result;
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

static int synced(int fd) {
  int file = file_of(fd);
  if (file < 0) return 0;
  const char *lie = getenv("UNSYNCED_LIE");
  pthread_mutex_lock(&lock);
  uint64_t asked = noted[file];
  uint64_t since = forgotten;
  struct stat begin;
  int counts = note_file() >= 0 && fstat(notes, &begin) == 0 && !(lie && *lie == '1');
  pthread_mutex_unlock(&lock);
  /* A disk takes its time. What is written meanwhile is not covered, and a crash now finds nothing kept. */
  usleep(DISK_MICROSECONDS);
  if (!counts) return 0;
  pthread_mutex_lock(&lock);
  if (asked > durable[file]) durable[file] = asked;
  uint64_t head[5] = {SYNC, (uint64_t)file, (uint64_t)begin.st_size, 0, 0};
  /* O_APPEND: the next note goes to the beginning. */
  if (noted[0] == durable[0] && noted[1] == durable[1]) {
    if (ftruncate64(notes, 0) != 0) abort();
    forgotten++;
  } else if (forgotten == since) {
    all(notes, head, sizeof head);
  }
  pthread_mutex_unlock(&lock);
  return 0;
}
int fsync(int fd) { return synced(fd); }
int fdatasync(int fd) { return synced(fd); }
