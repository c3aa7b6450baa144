// Preloaded into the program: calls of the system fail as FAILING_CALLS says, in words
//
//   CALL:ERROR:FIRST-LAST:PATTERN
//
// CALL: open, write, fsync, rename, close or mmap. ERROR: a number of errno, or "short" for a write that
// takes half. FIRST-LAST: which of the calls whose path fits PATTERN (fnmatch; * takes slashes too) fail,
// from 1. A rename's path is the new one.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { kMostRules = 16, kShort = -1, kNone = 0 };

static struct {
  char call[16], pattern[PATH_MAX];
  int error, first, last, seen;
} rules[kMostRules];
static int count = -1;

static void read_rules(void) {
  const char* text = getenv("FAILING_CALLS");
  char* copy = strdup(text ? text : "");
  count = 0;
  for (char* word = strtok(copy, " "); word && count < kMostRules; word = strtok(NULL, " ")) {
    char error[16];
    if (sscanf(word, "%15[^:]:%15[^:]:%d-%d:%s", rules[count].call, error, &rules[count].first,
               &rules[count].last, rules[count].pattern) != 5) {
      fprintf(stderr, "failing_calls: %s: not CALL:ERROR:FIRST-LAST:PATTERN\n", word);
      _exit(99);
    }
    rules[count++].error = strcmp(error, "short") == 0 ? kShort : atoi(error);
  }
  free(copy);
}

static int failure_at(const char* call, const char* path) {
  if (count < 0) read_rules();
  for (int i = 0; i < count; ++i) {
    if (strcmp(rules[i].call, call) != 0 || fnmatch(rules[i].pattern, path, 0) != 0) continue;
    const int seen = __sync_add_and_fetch(&rules[i].seen, 1);
    if (seen >= rules[i].first && seen <= rules[i].last) return rules[i].error;
  }
  return kNone;
}

static int failure_of(const char* call, int fd) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, path, sizeof(path) - 1);
  if (length < 0) return kNone;
  path[length] = 0;
  return failure_at(call, path);
}

#define REAL(name, type) ((type)dlsym(RTLD_NEXT, name))
#define FAIL_IF(failure)  \
  do {                    \
    const int error_ = (failure); \
    if (error_ > 0) {     \
      errno = error_;     \
      return -1;          \
    }                     \
  } while (0)

static int open_as(const char* name, const char* path, int flags, mode_t mode) {
  FAIL_IF(failure_at("open", path));
  return REAL(name, int (*)(const char*, int, ...))(path, flags, mode);
}

int open(const char* path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = va_arg(list, mode_t);
  va_end(list);
  return open_as("open", path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = va_arg(list, mode_t);
  va_end(list);
  return open_as("open64", path, flags, mode);
}

ssize_t write(int fd, const void* bytes, size_t size) {
  const int failure = failure_of("write", fd);
  FAIL_IF(failure);
  if (failure == kShort && size > 1) size /= 2;
  return REAL("write", ssize_t (*)(int, const void*, size_t))(fd, bytes, size);
}

int fsync(int fd) {
  FAIL_IF(failure_of("fsync", fd));
  return REAL("fsync", int (*)(int))(fd);
}

// What it really closes is closed, as the kernel does it.
int close(int fd) {
  const int failure = failure_of("close", fd);
  const int result = REAL("close", int (*)(int))(fd);
  FAIL_IF(failure);
  return result;
}

int rename(const char* from, const char* to) {
  FAIL_IF(failure_at("rename", to));
  return REAL("rename", int (*)(const char*, const char*))(from, to);
}

void* mmap(void* address, size_t length, int protection, int flags, int fd, off_t offset) {
  const int failure = fd < 0 ? kNone : failure_of("mmap", fd);
  if (failure > 0) {
    errno = failure;
    return MAP_FAILED;
  }
  return REAL("mmap", void* (*)(void*, size_t, int, int, int, off_t))(address, length, protection,
                                                                      flags, fd, offset);
}
