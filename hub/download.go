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
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/adavit/adavit/internal/atomicfile"
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
	unlock, err := lockFile(ctx, r.log, r.cache.lock(f.etag))
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

// partial is a file of which the first offset bytes have come.
type partial struct {
	*os.File
	offset int64
}

// restart throws away what has come.
func (p *partial) restart() error {
	p.offset = 0
	return p.Truncate(0)
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
	p := &partial{File: file}
	defer func() {
		file.Close()
		if p.offset == 0 {
			os.Remove(temp) // nothing to resume; after the rename there is nothing of that name
		}
	}()
	if p.offset, err = file.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	resumed := p.offset > 0
	if f.size >= 0 && p.offset > f.size {
		if err := p.restart(); err != nil {
			return err
		}
	}
	for {
		if err := r.fill(ctx, p, &f, limit); err != nil {
			if p.offset > 0 {
				err = fmt.Errorf("%w; %d bytes have come and are kept for the next try", err, p.offset)
			}
			return err
		}
		sum, want, err := blobSum(ctx, p, f)
		if err != nil {
			return err
		}
		if sum == want {
			break
		}
		if err := p.restart(); err != nil {
			return err
		}
		if !resumed {
			return fmt.Errorf("the download's checksum is %s, want %s", sum, want)
		}
		resumed = false // perhaps only what an earlier run left was damaged
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := file.Close(); err != nil { // Windows renames no open file
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(path))
}

// fill downloads until p has all of the file, through interruptions.
func (r *remote) fill(ctx context.Context, p *partial, f *remoteFile, limit int64) error {
	failures := 0
	for f.size < 0 || p.offset < f.size {
		before := p.offset
		whole, err := r.fillOnce(ctx, p, f, limit)
		if whole && err == nil {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !isTemporary(err) {
			return err
		}
		if p.offset-before >= enoughProgress {
			failures = 0
		}
		if failures++; failures >= r.timing.tries {
			return err
		}
		if err := r.wait(ctx, failures, err); err != nil {
			return err
		}
	}
	r.progress(f.name, p.offset, p.offset)
	return nil
}

// fillOnce makes one request for what p lacks. It learns f's size if the hub did not say it.
func (r *remote) fillOnce(ctx context.Context, p *partial, f *remoteFile, limit int64) (whole bool, err error) {
	u, err := r.resolve(f.commit, f.name)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(r.timing.stall, func() { cancel(fmt.Errorf("nothing came for %s", r.timing.stall)) })
	defer watch.Stop()
	resp, err := r.do(ctx, http.MethodGet, u, p.offset)
	if err != nil {
		return false, stalled(ctx, err)
	}
	defer resp.Body.Close()
	total := int64(-1) // of the whole file, as this answer has it
	switch resp.StatusCode {
	case http.StatusOK:
		if err := p.restart(); err != nil { // the server takes no ranges: all of it comes again
			return false, err
		}
		total = resp.ContentLength
	case http.StatusPartialContent:
		begin, end, n := contentRange(resp.Header.Get("Content-Range"))
		if begin < 0 || begin != p.offset || resp.ContentLength >= 0 && resp.ContentLength != end-begin+1 {
			text := fmt.Sprintf("asked for the bytes from %d on, the server answers with %s",
				p.offset, quoted(resp.Header.Get("Content-Range")))
			return false, again(p, text)
		}
		total = n
	case http.StatusRequestedRangeNotSatisfiable:
		if _, _, n := contentRange(resp.Header.Get("Content-Range")); f.size < 0 && n == p.offset {
			f.size = n
			return true, nil
		}
		return false, again(p, "the server says that there is nothing behind what has come ("+shownStatus(resp)+")")
	default:
		return false, r.statusError(resp, f.commit, f.name)
	}
	if isEncoded(resp) {
		return false, fmt.Errorf("the server sends the file encoded as %s, though not asked to",
			quoted(resp.Header.Get("Content-Encoding")))
	}
	if total >= 0 && f.size >= 0 && total != f.size {
		return false, fmt.Errorf("wrong size: %d bytes are offered, %d were announced", total, f.size)
	}
	if f.size < 0 {
		f.size = total
	}
	if f.size > limit {
		return false, fmt.Errorf("%d bytes, at most %d are downloaded", f.size, limit)
	}
	if f.size < 0 && newSum(f.etag, 0) == nil {
		return false, errors.New("neither a checksum nor a size is given, so the download could not be checked")
	}
	return r.receive(ctx, p, f, resp, limit, watch)
}

// receive writes a body behind what has come.
func (r *remote) receive(ctx context.Context, p *partial, f *remoteFile,
	resp *http.Response, limit int64, watch *time.Timer) (whole bool, err error) {
	buffer := make([]byte, 256<<10)
	reported := time.Now()
	r.progress(f.name, p.offset, f.size)
	for {
		n, err := resp.Body.Read(buffer)
		watch.Reset(r.timing.stall)
		bound := f.size
		if bound < 0 {
			bound = limit
		}
		if int64(n) > bound-p.offset {
			p.restart()
			return false, fmt.Errorf("wrong size: more than the %d bytes that were announced or are allowed", bound)
		}
		if _, err := p.WriteAt(buffer[:n], p.offset); err != nil {
			return false, err
		}
		p.offset += int64(n)
		if time.Since(reported) > 100*time.Millisecond {
			r.progress(f.name, p.offset, f.size)
			reported = time.Now()
		}
		switch {
		case err == io.EOF && (f.size < 0 || p.offset == f.size):
			f.size = p.offset
			return true, nil
		case err == io.EOF:
			return false, connectionError(resp.Request.URL,
				fmt.Errorf("ended after %d of %d bytes: %w", p.offset, f.size, io.ErrUnexpectedEOF))
		case err != nil:
			return false, stalled(ctx, connectionError(resp.Request.URL, err))
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
func again(p *partial, reason string) error {
	if err := p.restart(); err != nil {
		return err
	}
	return &hubError{text: reason, temporary: true, unreachable: true}
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

// blobSum reads the whole file back from disk: what is checked is what will be there, resumed or not. want is "" if the
// ETag is no checksum, and sum then too.
func blobSum(ctx context.Context, p *partial, f remoteFile) (sum, want string, err error) {
	h := newSum(f.etag, p.offset)
	if h == nil {
		return "", "", nil
	}
	buffer := make([]byte, 1<<20)
	for at := int64(0); ; {
		if ctx.Err() != nil {
			return "", "", ctx.Err()
		}
		n, err := p.ReadAt(buffer, at)
		h.Write(buffer[:n])
		at += int64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), strings.ToLower(f.etag), nil
}
