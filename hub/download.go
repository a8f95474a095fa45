package hub

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/adavit/adavit/internal/atomicfile"
	"github.com/adavit/adavit/internal/filelock"
)

// enoughProgress is how many bytes make a failure the first of a new row: a bad line may drop a large file often, but
// not for ever.
const enoughProgress = 1 << 20

// get brings a file into its commit's snapshot, from the blobs if it is among them, else from the hub.
func (r *remote) get(ctx context.Context, f remoteFile, limit int64) error {
	if r.cache.has(f.commit, f.name) {
		return nil
	}
	if f.size > limit {
		return fmt.Errorf("%s: %d bytes, at most %d are downloaded", f.name, f.size, limit)
	}
	if err := r.cache.prepare(f.etag); err != nil {
		return err
	}
	unlock, err := lockFile(ctx, r.Log, r.cache.lock(f.etag))
	if err != nil {
		return err
	}
	defer unlock()
	if r.cache.has(f.commit, f.name) { // another process was faster
		return nil
	}
	info, err := os.Stat(r.cache.blob(f.etag))
	fresh := err != nil || !info.Mode().IsRegular() || f.size >= 0 && info.Size() != f.size
	if fresh {
		if err := r.download(ctx, f, limit); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return r.cache.link(f.commit, f.name, f.etag, fresh)
}

// lockFile waits until no other process has the lock and takes it: the one that huggingface_hub takes here too. See
// remote.download for why a file system without locks does no harm.
func lockFile(ctx context.Context, log *slog.Logger, path string) (unlock func(), err error) {
	const patience = 100 // tries, which take five seconds
	for try := 1; ; try++ {
		if try == patience {
			log.Info("waiting for another process that downloads the same file", "lock", path)
		}
		unlock, ok, err := filelock.Try(path)
		if ok {
			return unlock, nil
		}
		if err == nil {
			err = sleep(ctx, 50*time.Millisecond)
		}
		if err != nil {
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
	}
}

// transfer is the download of one file, of which the first offset bytes have come.
type transfer struct {
	*remote
	remoteFile
	file          *os.File
	offset, limit int64
}

// restart throws away what has come.
func (t *transfer) restart() error {
	t.offset = 0
	return t.file.Truncate(0)
}

// download brings a blob into the cache: under the name ETAG.incomplete until it is whole and its checksum right. What
// an earlier run left there is the beginning. Bytes are written at their own place, so that even where locks do not
// work two processes that download the same blob write the same bytes.
func (r *remote) download(ctx context.Context, f remoteFile, limit int64) error {
	path := r.cache.blob(f.etag)
	temp := path + ".incomplete"
	if info, err := os.Stat(temp); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", temp)
	}
	file, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	t := &transfer{remote: r, remoteFile: f, file: file, limit: limit}
	defer func() {
		file.Close()
		if t.offset == 0 {
			os.Remove(temp) // nothing to resume; after the rename there is nothing of that name
		}
	}()
	if t.offset, err = file.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	resumed := t.offset > 0
	if f.size >= 0 && t.offset > f.size {
		if err := t.restart(); err != nil {
			return err
		}
	}
	for {
		if err := t.fill(ctx); err != nil {
			if t.offset > 0 {
				err = fmt.Errorf("%w; %d bytes have come and are kept for the next try", err, t.offset)
			}
			return err
		}
		sum, want, err := t.sum(ctx)
		if err != nil {
			return err
		}
		if sum == want {
			break
		}
		if err := t.restart(); err != nil {
			return err
		}
		if !resumed {
			return fmt.Errorf("the download's checksum is %s, want %s", sum, want)
		}
		resumed = false // perhaps only what an earlier run left was damaged
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil { // Windows renames no open file
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(path))
}

// fill downloads until all of the file is there, through interruptions.
func (t *transfer) fill(ctx context.Context) error {
	err := t.retry(ctx, t.timing.tries, func() (progress bool, err error) {
		before := t.offset
		err = t.fillOnce(ctx)
		return t.offset-before >= enoughProgress, err
	})
	if err == nil {
		t.Progress(t.name, t.offset, t.offset)
	}
	return err
}

// fillOnce makes one request for what is lacking, if anything is. It learns the size if the hub did not say it.
func (t *transfer) fillOnce(ctx context.Context) error {
	if t.offset == t.size {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(t.timing.stall, func() { cancel(fmt.Errorf("nothing came for %s", t.timing.stall)) })
	defer watch.Stop()
	resp, err := t.do(ctx, http.MethodGet, t.resolve(t.commit, t.name), t.offset)
	if err != nil {
		return stalled(ctx, err)
	}
	defer resp.Body.Close()
	span := resp.Header.Get("Content-Range")
	begin, end, total := contentRange(span)
	switch resp.StatusCode {
	case http.StatusOK:
		if err := t.restart(); err != nil { // the server takes no ranges: all of it comes again
			return err
		}
		total = resp.ContentLength
	case http.StatusPartialContent:
		if begin < 0 || begin != t.offset || resp.ContentLength >= 0 && resp.ContentLength != end-begin+1 {
			return t.again("asked for the bytes from %d on, the server answers with %s", t.offset, quoted(span))
		}
	case http.StatusRequestedRangeNotSatisfiable:
		if t.size < 0 && total == t.offset {
			t.size = total
			return nil
		}
		return t.again("the server says that there is nothing behind what has come (%s)", shownStatus(resp))
	default:
		return t.statusError(resp, t.commit, t.name)
	}
	if isEncoded(resp) {
		return fmt.Errorf("the server sends the file encoded as %s, though not asked to",
			quoted(resp.Header.Get("Content-Encoding")))
	}
	if total >= 0 && t.size >= 0 && total != t.size {
		return fmt.Errorf("wrong size: %d bytes are offered, %d were announced", total, t.size)
	}
	t.size = max(t.size, total)
	if t.size > t.limit {
		return fmt.Errorf("%d bytes, at most %d are downloaded", t.size, t.limit)
	}
	if t.size < 0 && newSum(t.etag, 0) == nil {
		return errors.New("neither a checksum nor a size is given, so the download could not be checked")
	}
	return t.receive(ctx, resp, watch)
}

// receive writes a body behind what has come.
func (t *transfer) receive(ctx context.Context, resp *http.Response, watch *time.Timer) error {
	buffer := make([]byte, 256<<10)
	reported := time.Now()
	t.Progress(t.name, t.offset, t.size)
	bound := t.size
	if bound < 0 {
		bound = t.limit
	}
	for {
		n, err := resp.Body.Read(buffer)
		watch.Reset(t.timing.stall)
		if int64(n) > bound-t.offset {
			t.restart()
			return fmt.Errorf("wrong size: more than the %d bytes that were announced or are allowed", bound)
		}
		if _, err := t.file.WriteAt(buffer[:n], t.offset); err != nil {
			return err
		}
		t.offset += int64(n)
		if time.Since(reported) > 100*time.Millisecond {
			t.Progress(t.name, t.offset, t.size)
			reported = time.Now()
		}
		switch {
		case err == io.EOF && (t.size < 0 || t.offset == t.size):
			t.size = t.offset
			return nil
		case err == io.EOF:
			return connectionError(resp.Request.URL,
				fmt.Errorf("ended after %d of %d bytes: %w", t.offset, t.size, io.ErrUnexpectedEOF))
		case err != nil:
			return stalled(ctx, connectionError(resp.Request.URL, err))
		}
	}
}

// stalled replaces the error of a request that the watch cut short by the watch's reason.
func stalled(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if cause == nil || errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) {
		return err
	}
	return &hubError{text: cause.Error(), err: cause, temporary: true, unreachable: true}
}

// again starts anew, for what has come and what the server has do not fit.
func (t *transfer) again(format string, args ...any) error {
	if err := t.restart(); err != nil {
		return err
	}
	return &hubError{text: fmt.Sprintf(format, args...), temporary: true, unreachable: true}
}

// contentRange reads "bytes BEGIN-END/TOTAL" or "bytes */TOTAL"; −1 stands for what it does not say.
func contentRange(s string) (begin, end, total int64) {
	number := func(s string) int64 {
		n, err := strconv.ParseUint(s, 10, 62)
		if err != nil {
			return -1
		}
		return int64(n)
	}
	rest, ok := strings.CutPrefix(s, "bytes ")
	if !ok {
		return -1, -1, -1
	}
	span, size, _ := strings.Cut(rest, "/")
	total = number(size)
	first, last, _ := strings.Cut(span, "-")
	begin, end = number(first), number(last)
	if begin < 0 || end < begin || total >= 0 && end >= total {
		return -1, -1, total
	}
	return begin, end, total
}

// newSum returns the hash that an ETag is of, for a file of size bytes: SHA-256 where it has 64 hexadecimal digits,
// git's hash of a blob where it has 40. Other ETags are no checksums: nil.
func newSum(etag string, size int64) hash.Hash {
	if _, err := hex.DecodeString(etag); err != nil {
		return nil
	}
	switch len(etag) {
	case 64:
		return sha256.New()
	case 40:
		h := sha1.New()
		fmt.Fprintf(h, "blob %d\x00", size)
		return h
	}
	return nil
}

// sum reads the whole file back from disk: what is checked is what will be there, resumed or not. want is "" if the
// ETag is no checksum, and sum then too.
func (t *transfer) sum(ctx context.Context) (sum, want string, err error) {
	h := newSum(t.etag, t.offset)
	if h == nil {
		return "", "", nil
	}
	if _, err := t.file.Seek(0, io.SeekStart); err != nil {
		return "", "", err
	}
	for ctx.Err() == nil {
		_, err := io.CopyN(h, t.file, 1<<20)
		if err == io.EOF {
			return hex.EncodeToString(h.Sum(nil)), strings.ToLower(t.etag), nil
		}
		if err != nil {
			return "", "", err
		}
	}
	return "", "", ctx.Err()
}
