"""Durable writes off the event loop: one thread per file, without the GIL.

The thread takes one submission at a time: pwritev of all its bytes, then fdatasync, then the event
file descriptor becomes readable. The owner watches that descriptor and calls `result`.

Invariants:
* A submission is durable when `result` returned 0, and not before.
* The buffers of a submission are referenced, and their exports held, until its `result`.
* The first error is final: fdatasync may have dropped the dirty pages that failed, and a second one
  would report success for bytes that are gone ("fsyncgate"). Every later submission is refused.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.errno cimport EAGAIN, EINTR, EIO, errno
from libc.stdint cimport uint64_t
from posix.types cimport off_t
import os


cdef extern from "<sys/uio.h>" nogil:
    cdef struct iovec:
        void* iov_base
        size_t iov_len
    ssize_t pwritev(int fd, const iovec* vectors, int count, off_t offset) noexcept


cdef extern from "<unistd.h>" nogil:
    int fdatasync(int fd) noexcept
    ssize_t read(int fd, void* buffer, size_t size) noexcept
    ssize_t write(int fd, const void* buffer, size_t size) noexcept
    int close(int fd) noexcept


cdef extern from "<sys/eventfd.h>" nogil:
    int EFD_CLOEXEC, EFD_NONBLOCK
    int eventfd(unsigned int initial, int flags) noexcept


cdef extern from "<signal.h>" nogil:
    ctypedef struct sigset_t:
        pass
    int SIG_SETMASK
    int sigfillset(sigset_t* signals) noexcept


cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_t:
        pass
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass
    int pthread_create(pthread_t*, void*, void* (*)(void*) noexcept nogil, void*) noexcept
    int pthread_join(pthread_t, void**) noexcept
    int pthread_mutex_init(pthread_mutex_t*, void*) noexcept
    int pthread_mutex_destroy(pthread_mutex_t*) noexcept
    int pthread_mutex_lock(pthread_mutex_t*) noexcept
    int pthread_mutex_unlock(pthread_mutex_t*) noexcept
    int pthread_cond_init(pthread_cond_t*, void*) noexcept
    int pthread_cond_destroy(pthread_cond_t*) noexcept
    int pthread_cond_wait(pthread_cond_t*, pthread_mutex_t*) noexcept
    int pthread_cond_signal(pthread_cond_t*) noexcept
    int pthread_sigmask(int how, const sigset_t* new, sigset_t* old) noexcept


cdef enum:
    VECTORS_A_CALL = 1024  # IOV_MAX of Linux

cdef enum Stage:
    STAGE_IDLE = 0      # no submission; the owner may submit
    STAGE_SUBMITTED = 1  # the thread has it, or is about to
    STAGE_DONE = 2      # the outcome waits for `result`


cdef struct Channel:
    # Everything below is guarded by `mutex`, except that the thread alone touches `vectors`
    # while the stage is SUBMITTED, and the owner alone otherwise.
    pthread_mutex_t mutex
    pthread_cond_t wake
    int fd
    int event_fd
    int stage
    bint closing
    int outcome          # errno of the last finished submission, 0 for success
    iovec* vectors
    Py_ssize_t count
    off_t offset


cdef int write_all(int fd, iovec* vectors, Py_ssize_t count, off_t offset) noexcept nogil:
    """Writes every byte, however short each write is; 0 or an errno. Consumes `vectors`."""
    cdef Py_ssize_t first = 0
    cdef ssize_t written
    cdef int batch
    while True:
        while first < count and vectors[first].iov_len == 0:
            first += 1
        if first == count:
            return 0
        batch = <int>min(count - first, <Py_ssize_t>VECTORS_A_CALL)
        written = pwritev(fd, vectors + first, batch, offset)
        if written < 0:
            if errno == EINTR:
                continue
            return errno
        if written == 0:
            return EIO  # a file that takes nothing and says nothing would spin for ever
        offset += written
        while written > 0:
            if <size_t>written < vectors[first].iov_len:
                vectors[first].iov_base = <char*>vectors[first].iov_base + written
                vectors[first].iov_len -= <size_t>written
                break
            written -= <ssize_t>vectors[first].iov_len
            first += 1


cdef int sync_data(int fd) noexcept nogil:
    while fdatasync(fd) != 0:
        if errno != EINTR:
            return errno
    return 0


cdef void* serve(void* argument) noexcept nogil:
    cdef Channel* channel = <Channel*>argument
    cdef uint64_t one = 1
    cdef int outcome
    cdef ssize_t told
    pthread_mutex_lock(&channel.mutex)
    while True:
        while channel.stage != STAGE_SUBMITTED and not channel.closing:
            pthread_cond_wait(&channel.wake, &channel.mutex)
        if channel.stage != STAGE_SUBMITTED:
            break
        pthread_mutex_unlock(&channel.mutex)
        outcome = write_all(channel.fd, channel.vectors, channel.count, channel.offset)
        if outcome == 0:
            outcome = sync_data(channel.fd)
        pthread_mutex_lock(&channel.mutex)
        channel.outcome = outcome
        channel.stage = STAGE_DONE
        # The counter is at most 1 (one submission at a time), so this cannot block.
        told = write(channel.event_fd, &one, 8)
        while told < 0 and errno == EINTR:
            told = write(channel.event_fd, &one, 8)
    pthread_mutex_unlock(&channel.mutex)
    return NULL


cdef int start_thread(pthread_t* thread, Channel* channel) noexcept nogil:
    """Starts the thread with every signal blocked: signals are for the interpreter's thread."""
    cdef sigset_t everything, before
    cdef int error
    sigfillset(&everything)
    pthread_sigmask(SIG_SETMASK, &everything, &before)
    error = pthread_create(thread, NULL, serve, channel)
    pthread_sigmask(SIG_SETMASK, &before, NULL)
    return error


@cython.final
cdef class SyncedFile:
    """Writes and syncs one open file from a thread of its own. The descriptor stays the caller's.

    Used from one thread (the event loop's). One submission at a time.
    """

    cdef Channel channel
    cdef pthread_t thread
    cdef bint running
    cdef int failed_errno
    cdef Py_buffer* exports
    cdef Py_ssize_t export_count

    def __cinit__(self, int fd):
        self.running = False
        self.failed_errno = 0
        self.exports = NULL
        self.export_count = 0
        self.channel.fd = fd
        self.channel.event_fd = -1
        self.channel.stage = STAGE_IDLE
        self.channel.closing = False
        self.channel.outcome = 0
        self.channel.vectors = NULL
        self.channel.count = 0
        self.channel.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        if self.channel.event_fd < 0:
            raise OSError(errno, os.strerror(errno))
        pthread_mutex_init(&self.channel.mutex, NULL)
        pthread_cond_init(&self.channel.wake, NULL)
        cdef int error = start_thread(&self.thread, &self.channel)
        if error != 0:
            pthread_cond_destroy(&self.channel.wake)
            pthread_mutex_destroy(&self.channel.mutex)
            close(self.channel.event_fd)
            self.channel.event_fd = -1
            raise OSError(error, os.strerror(error))
        self.running = True

    def __dealloc__(self):
        self.stop()

    @property
    def event_fd(self):
        """Readable once a submission is finished; -1 after `close`. Closed by `close`."""
        return self.channel.event_fd

    @property
    def busy(self):
        """Whether a submission is under way or its `result` was not taken yet."""
        return self.exports != NULL

    @property
    def failed(self):
        """The errno that ended this file's use, or 0."""
        return self.failed_errno

    def submit(self, object buffers, off_t offset):
        """Starts writing `buffers`, end to end, at `offset`, and syncing them.

        No buffers: only the sync. OSError: an earlier submission failed (with its errno).
        RuntimeError: a submission is under way, or its result was not taken. ValueError: closed.
        """
        cdef list items = list(buffers)
        if not self.running:
            raise ValueError("submit on a closed SyncedFile")
        if self.failed_errno != 0:
            raise OSError(self.failed_errno, os.strerror(self.failed_errno))
        if self.exports != NULL:
            raise RuntimeError("a submission is under way")
        if offset < 0:
            raise ValueError(f"negative offset {offset}")
        self.take_exports(items)
        self.channel.offset = offset
        pthread_mutex_lock(&self.channel.mutex)
        self.channel.stage = STAGE_SUBMITTED
        pthread_cond_signal(&self.channel.wake)
        pthread_mutex_unlock(&self.channel.mutex)

    def result(self):
        """The outcome of the finished submission: 0 when all is durable, else an errno.

        Clears the event and lets the buffers go. RuntimeError: nothing has finished.
        """
        cdef uint64_t drained
        cdef int stage, outcome
        pthread_mutex_lock(&self.channel.mutex)
        stage = self.channel.stage
        outcome = self.channel.outcome
        if stage == STAGE_DONE:
            self.channel.stage = STAGE_IDLE
            if self.channel.event_fd >= 0:
                while read(self.channel.event_fd, &drained, 8) < 0 and errno == EINTR:
                    pass
        pthread_mutex_unlock(&self.channel.mutex)
        if stage != STAGE_DONE:
            raise RuntimeError("no submission has finished")
        self.release_exports()
        if outcome != 0:
            self.failed_errno = outcome
        return outcome

    def close(self):
        """Waits for a submission under way, ends the thread, closes the event descriptor."""
        self.stop()

    cdef int stop(self) except -1:
        if not self.running:
            return 0
        self.running = False
        with nogil:
            pthread_mutex_lock(&self.channel.mutex)
            self.channel.closing = True
            pthread_cond_signal(&self.channel.wake)
            pthread_mutex_unlock(&self.channel.mutex)
            pthread_join(self.thread, NULL)
            pthread_cond_destroy(&self.channel.wake)
            close(self.channel.event_fd)
        self.channel.event_fd = -1
        if self.channel.stage == STAGE_DONE and self.channel.outcome != 0:
            self.failed_errno = self.channel.outcome
        self.release_exports()
        return 0

    cdef int take_exports(self, list items) except -1:
        cdef Py_ssize_t i, count = len(items)
        # One more than needed: a non-NULL array marks a submission without buffers, too.
        cdef Py_buffer* exports = <Py_buffer*>PyMem_Malloc((count + 1) * sizeof(Py_buffer))
        cdef iovec* vectors = <iovec*>PyMem_Malloc((count + 1) * sizeof(iovec))
        self.exports = exports
        self.channel.vectors = vectors
        self.export_count = 0
        try:
            if exports == NULL or vectors == NULL:
                raise MemoryError
            for i in range(count):
                PyObject_GetBuffer(items[i], &exports[i], PyBUF_SIMPLE)
                self.export_count = i + 1
                vectors[i].iov_base = exports[i].buf
                vectors[i].iov_len = <size_t>exports[i].len
        except BaseException:
            self.release_exports()
            raise
        self.channel.count = count
        return 0

    cdef void release_exports(self) noexcept:
        cdef Py_ssize_t i
        for i in range(self.export_count):
            PyBuffer_Release(&self.exports[i])
        self.export_count = 0
        PyMem_Free(self.exports)
        PyMem_Free(self.channel.vectors)
        self.exports = NULL
        self.channel.vectors = NULL
