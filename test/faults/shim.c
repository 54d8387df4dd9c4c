/*
 * A disk that fails on order: preloaded into a process (LD_PRELOAD), it stands between SQLite and libc for the files of
 * one directory, SHIM_DIRECTORY, and leaves all others alone.
 *
 * SHIM_CONTROL is a file of 64-bit numbers, shared with the test: see `controls` in shim.ts for their meaning.
 * SHIM_RECORD, if set, takes every operation that changes what the disk holds, in order: five numbers (type, descriptor,
 * offset, length) and `length` bytes. A sync is recorded after it has returned: all that was recorded before it began,
 * and nothing else, is then known to be durable. Operations wait for each other, so that the order is the true one.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { START = 1, OPEN, CLOSE, WRITE, TRUNCATE, UNLINK, RENAME, SYNC, SYNC_FAILED };

struct control {
  int64_t sync_delay_us, sync_failures, write_failures, write_errno, open_failures, kill_at, kill_at_sync;
  int64_t operations, syncs, syncs_failed, writes_failed, opens_failed, recorded_bytes;
};

#define FD_MAX 65536
static char watched[FD_MAX];
static struct control *control;
static const char *directory;
static size_t directory_length;
static int record_fd = -1;
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

static int (*real_open)(const char *, int, ...);
static int (*real_close)(int);
static long (*real_syscall)(long, ...);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static int (*real_ftruncate)(int, off64_t);
static int (*real_unlink)(const char *);
static int (*real_rename)(const char *, const char *);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);

static void record(int32_t type, int32_t fd, int64_t offset, const void *data, uint32_t length) {
  if (record_fd < 0) return;
  struct { int32_t type, fd; int64_t offset; uint32_t length, unused; } head = {type, fd, offset, length, 0};
  struct iovec parts[] = {{&head, sizeof head}, {(void *)data, length}};
  if (writev(record_fd, parts, 2) != (ssize_t)(sizeof head + length)) abort();
  control->recorded_bytes += sizeof head + length;
}

__attribute__((constructor)) static void start(void) {
  real_open = dlsym(RTLD_NEXT, "open64");
  real_syscall = dlsym(RTLD_NEXT, "syscall");
  real_close = dlsym(RTLD_NEXT, "close");
  real_write = dlsym(RTLD_NEXT, "write");
  real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
  real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
  real_unlink = dlsym(RTLD_NEXT, "unlink");
  real_rename = dlsym(RTLD_NEXT, "rename");
  real_fsync = dlsym(RTLD_NEXT, "fsync");
  real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
  directory = getenv("SHIM_DIRECTORY");
  const char *path = getenv("SHIM_CONTROL");
  if (directory == NULL || path == NULL) return;
  int fd = real_open(path, O_RDWR | O_CLOEXEC);
  control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (control == MAP_FAILED) abort();
  real_close(fd);
  const char *record_path = getenv("SHIM_RECORD");
  if (record_path != NULL) record_fd = real_open(record_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  directory_length = strlen(directory);
  record(START, 0, 0, NULL, 0);
}

static int is_watched(const char *path) {
  return directory_length > 0 && strncmp(path, directory, directory_length) == 0 &&
         (path[directory_length] == '/' || path[directory_length] == 0);
}

static int is_open(int fd) { return fd >= 0 && fd < FD_MAX && watched[fd]; }

/* Negative: for as long as it stands. */
static int takes_failure(int64_t *left, int64_t *counter) {
  if (*left == 0) return 0;
  if (*left > 0) *left -= 1;
  *counter += 1;
  return 1;
}

static void die(void) {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

/* An operation that changes what the disk holds is about to be done. Says whether the process must die in it. */
static int is_last(void) { return ++control->operations == control->kill_at; }

static int opened(const char *path, int flags, mode_t mode) {
  if (control == NULL || !is_watched(path)) return real_open(path, flags, mode);
  pthread_mutex_lock(&lock);
  int is_new = (flags & O_CREAT) && access(path, F_OK) != 0;
  int fd = -1;
  if (is_new && is_last()) die();
  if (takes_failure(&control->open_failures, &control->opens_failed)) {
    errno = EIO;
  } else {
    fd = real_open(path, flags, mode);
    if (fd >= 0 && fd < FD_MAX) {
      watched[fd] = 1;
      record(OPEN, fd, is_new, path, strlen(path));
      if (flags & O_TRUNC) record(TRUNCATE, fd, 0, NULL, 0);
    }
  }
  pthread_mutex_unlock(&lock);
  return fd;
}

#define MODE(flags, mode)              \
  mode_t mode = 0;                     \
  if (flags & O_CREAT) {               \
    va_list list;                      \
    va_start(list, flags);             \
    mode = va_arg(list, mode_t);       \
    va_end(list);                      \
  }

int open(const char *path, int flags, ...) {
  MODE(flags, mode)
  return opened(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  MODE(flags, mode)
  return opened(path, flags, mode);
}

static void closing(int fd) {
  if (!is_open(fd)) return;
  pthread_mutex_lock(&lock);
  watched[fd] = 0;
  record(CLOSE, fd, 0, NULL, 0);
  pthread_mutex_unlock(&lock);
}

int close(int fd) {
  closing(fd);
  return real_close(fd);
}

/* How libuv closes files. A close that was missed would make the shim take the next socket of that number for a file. */
long syscall(long number, ...) {
  va_list list;
  va_start(list, number);
  long argument[6];
  for (int index = 0; index < 6; index += 1) argument[index] = va_arg(list, long);
  va_end(list);
  if (number == SYS_close) closing(argument[0]);
  if (real_syscall == NULL) real_syscall = dlsym(RTLD_NEXT, "syscall");
  return real_syscall(number, argument[0], argument[1], argument[2], argument[3], argument[4], argument[5]);
}

/* One that fails has written its first half. So has one that is the last. */
static ssize_t written(int fd, const void *data, size_t length, off64_t offset) {
  ssize_t result;
  pthread_mutex_lock(&lock);
  int must_die = is_last();
  int must_fail = takes_failure(&control->write_failures, &control->writes_failed);
  result = real_pwrite(fd, data, must_die || must_fail ? length / 2 : length, offset);
  if (result > 0) record(WRITE, fd, offset, data, result);
  if (must_die) die();
  if (must_fail) {
    errno = control->write_errno;
    result = -1;
  }
  pthread_mutex_unlock(&lock);
  return result;
}

ssize_t write(int fd, const void *data, size_t length) {
  if (!is_open(fd)) return real_write(fd, data, length);
  off64_t offset = lseek64(fd, 0, fcntl(fd, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR);
  ssize_t result = written(fd, data, length, offset);
  if (result > 0) lseek64(fd, offset + result, SEEK_SET);
  return result;
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
  return is_open(fd) ? written(fd, data, length, offset) : real_pwrite(fd, data, length, offset);
}
ssize_t pwrite(int fd, const void *data, size_t length, off64_t offset) { return pwrite64(fd, data, length, offset); }

int ftruncate64(int fd, off64_t size) {
  if (!is_open(fd)) return real_ftruncate(fd, size);
  pthread_mutex_lock(&lock);
  if (is_last()) die();
  int result = real_ftruncate(fd, size);
  if (result == 0) record(TRUNCATE, fd, size, NULL, 0);
  pthread_mutex_unlock(&lock);
  return result;
}
int ftruncate(int fd, off64_t size) { return ftruncate64(fd, size); }

int unlink(const char *path) {
  if (control == NULL || !is_watched(path)) return real_unlink(path);
  pthread_mutex_lock(&lock);
  if (is_last()) die();
  int result = real_unlink(path);
  if (result == 0) record(UNLINK, 0, 0, path, strlen(path));
  pthread_mutex_unlock(&lock);
  return result;
}

int rename(const char *from, const char *to) {
  if (control == NULL || !is_watched(from)) return real_rename(from, to);
  pthread_mutex_lock(&lock);
  if (is_last()) die();
  int result = real_rename(from, to);
  char both[8192];
  size_t length = strlen(from) + 1;
  if (length + strlen(to) > sizeof both) abort();
  memcpy(both, from, length);
  memcpy(both + length, to, strlen(to));
  if (result == 0) record(RENAME, 0, 0, both, length + strlen(to));
  pthread_mutex_unlock(&lock);
  return result;
}

static int synced(int fd, int (*real_sync)(int)) {
  if (!is_open(fd)) return real_sync(fd);
  pthread_mutex_lock(&lock);
  if (is_last() || ++control->syncs == control->kill_at_sync) die();
  int must_fail = takes_failure(&control->sync_failures, &control->syncs_failed);
  pthread_mutex_unlock(&lock);
  /* Not under the lock: a slow disk holds up what is asked of it, not other files. */
  if (control->sync_delay_us > 0) usleep(control->sync_delay_us);
  int result = must_fail ? -1 : real_sync(fd);
  pthread_mutex_lock(&lock);
  record(result == 0 ? SYNC : SYNC_FAILED, fd, 0, NULL, 0);
  pthread_mutex_unlock(&lock);
  if (must_fail) errno = EIO;
  return result;
}

int fsync(int fd) { return synced(fd, real_fsync); }
int fdatasync(int fd) { return synced(fd, real_fdatasync); }
