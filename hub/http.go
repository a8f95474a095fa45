package hub

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/adavit/adavit/internal/regular"
)

const maxRedirects = 6

// remote speaks with the hub about one repository.
type remote struct {
	Hub      // with nothing left to defaults
	cache    repoCache
	endpoint *url.URL
	client   *http.Client
}

// remoteFile is what the hub says of one file.
type remoteFile struct {
	name   string
	commit string // that the revision means
	etag   string // names the blob; for a file in LFS its SHA-256, else git's hash of it
	size   int64  // −1 if the hub does not say
}

func newRemote(h Hub, cache repoCache) (*remote, error) {
	endpoint, err := url.Parse(cmp.Or(h.Endpoint, defaultEndpoint))
	if err != nil || endpoint.Scheme != "https" && endpoint.Scheme != "http" ||
		endpoint.Host == "" || endpoint.RawQuery != "" || endpoint.Fragment != "" {
		return nil, fmt.Errorf("the endpoint (HF_ENDPOINT) is not a URL like %s: %s",
			defaultEndpoint, quoted(h.Endpoint))
	}
	if strings.ContainsFunc(h.Token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, errors.New("the token (HF_TOKEN, or the token file) holds characters that no token has")
	}
	client := *cmp.Or(h.Client, &http.Client{})
	// Redirects are followed by do, which knows where the token may go; the standard client would send it to other
	// ports and subdomains.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &remote{h, cache, endpoint, &client}, nil
}

// resolve is the URL that a file's content is to be had from, by way of redirects.
func (r *remote) resolve(revision, file string) *url.URL {
	return r.endpoint.JoinPath(r.cache.repo, "resolve", url.PathEscape(revision), url.PathEscape(file))
}

// do sends a request and follows redirects. That of a HEAD to another host is not followed if it says all there is to
// know. A GET asks for what is behind the first offset bytes.
func (r *remote) do(ctx context.Context, method string, u *url.URL, offset int64) (*http.Response, error) {
	for range maxRedirects {
		req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
		if err != nil {
			return nil, err
		}
		req.Header.Set("User-Agent", "adavit")
		req.Header.Set("Accept-Encoding", "identity") // checksums and ranges are of the bytes as they are
		if offset > 0 {
			req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
		}
		if r.Token != "" && sameOrigin(u, r.endpoint) {
			req.Header.Set("Authorization", "Bearer "+r.Token)
		}
		resp, err := r.client.Do(req)
		if err != nil {
			return nil, connectionError(u, err)
		}
		location := resp.Header.Get("Location")
		if !isRedirect(resp.StatusCode) || location == "" {
			return resp, nil
		}
		next, err := u.Parse(location)
		if err == nil && method == http.MethodHead && !sameOrigin(next, u) && resp.Header.Get("X-Repo-Commit") != "" {
			return resp, nil
		}
		resp.Body.Close()
		switch {
		case err != nil || next.Scheme != "http" && next.Scheme != "https" || next.Host == "":
			return nil, fmt.Errorf("%s redirects to %s, which is no web address", shownURL(u), quoted(location))
		case next.Scheme == "http" && u.Scheme == "https":
			return nil, fmt.Errorf("%s redirects to %s, which is not encrypted", shownURL(u), shownURL(next))
		}
		next.User = nil
		u = next
	}
	return nil, fmt.Errorf("more than %d redirects, the last to %s", maxRedirects, shownURL(u))
}

// Get returns what lies at an address, at most limit bytes. Redirects are followed, but not from https to http. Errors
// name the address.
func Get(ctx context.Context, address string, limit int64) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	r, err := newRemote(Hub{}, repoCache{})
	if err != nil {
		return nil, err
	}
	resp, err := r.do(ctx, http.MethodGet, u, 0)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", shownURL(u), shownStatus(resp))
	}
	return regular.ReadAll(shownURL(u), resp.Body, limit)
}

func isRedirect(status int) bool {
	return slices.Contains([]int{http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect}, status)
}

// sameOrigin compares scheme, host and port.
func sameOrigin(a, b *url.URL) bool {
	port := func(u *url.URL) string {
		return cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	}
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

// shownURL is a URL fit for an error: without the query, which may be signed and so as good as a password.
func shownURL(u *url.URL) string {
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	return fmt.Sprintf("%.300s", shown.String())
}

// head asks for a file's checksum and size, up to tries times.
func (r *remote) head(ctx context.Context, revision, file string, tries int) (f remoteFile, err error) {
	err = r.retry(ctx, tries, func() (bool, error) {
		f, err = r.headOnce(ctx, revision, file)
		return false, err
	})
	return f, err
}

func (r *remote) headOnce(ctx context.Context, revision, file string) (remoteFile, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timing.answer)
	defer cancel()
	resp, err := r.do(ctx, http.MethodHead, r.resolve(revision, file), 0)
	if err != nil {
		return remoteFile{}, err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK && !isRedirect(resp.StatusCode) {
		return remoteFile{}, r.statusError(resp, revision, file)
	}
	f := remoteFile{name: file, commit: resp.Header.Get("X-Repo-Commit"), size: -1}
	if !isCommit(f.commit) {
		return remoteFile{}, &hubError{unreachable: true, text: shownURL(resp.Request.URL) +
			" answers without a commit: not a hub? (check HF_ENDPOINT, and whether a network login page is in the way)"}
	}
	if isCommit(revision) && f.commit != revision {
		return remoteFile{}, fmt.Errorf("%s: the hub answers with another commit, %s", file, f.commit)
	}
	if f.etag, err = cleanETag(cmp.Or(resp.Header.Get("X-Linked-Etag"), resp.Header.Get("Etag"))); err != nil {
		return remoteFile{}, fmt.Errorf("%s: %w", file, err)
	}
	if size := resp.Header.Get("X-Linked-Size"); size != "" {
		n, err := strconv.ParseUint(size, 10, 63)
		if err != nil {
			return remoteFile{}, fmt.Errorf("%s: the hub says that its size is %s", file, quoted(size))
		}
		f.size = int64(n)
	} else if resp.StatusCode == http.StatusOK && !isEncoded(resp) {
		f.size = resp.ContentLength
	}
	return f, nil
}

// isEncoded says whether the body is not the file's own bytes, although they were asked for.
func isEncoded(resp *http.Response) bool {
	encoding := resp.Header.Get("Content-Encoding")
	return encoding != "" && !strings.EqualFold(encoding, "identity")
}

var etagPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// cleanETag strips an ETag of its quotes and of the mark of a weak one. What is left becomes a file's name.
func cleanETag(s string) (string, error) {
	etag := strings.Trim(strings.TrimPrefix(s, "W/"), `"`)
	if etag == "" {
		return "", errors.New("the hub gives no ETag, so the download could not be checked")
	}
	if !etagPattern.MatchString(etag) || strings.HasSuffix(etag, ".incomplete") || strings.HasSuffix(etag, ".lock") {
		return "", fmt.Errorf("the hub gives the ETag %s, which cannot name a file", quoted(s))
	}
	return etag, nil
}

// retry tries until there is no error, one that will not pass, or tries of them in a row; progress begins a new row.
// Between two tries it sleeps: longer after each failure, and as long as the server asked for, within bounds.
func (r *remote) retry(ctx context.Context, tries int, try func() (progress bool, err error)) error {
	for failures := 1; ; failures++ {
		progress, err := try()
		if err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
		if progress {
			failures = 1
		}
		e, ok := errors.AsType[*hubError](err)
		if !ok || !e.temporary || failures >= tries {
			return err
		}
		d := max(r.timing.backoff<<min(failures-1, 10), e.after)
		if err := sleep(ctx, min(d, r.timing.longest)); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// hubError is a failure of the network or an answer that is no success.
type hubError struct {
	text        string
	err         error
	status      int           // of the answer; 0 if there was none
	code        string        // the hub's own word for it, such as EntryNotFound
	temporary   bool          // another try may succeed
	unreachable bool          // says nothing about the repository
	after       time.Duration // the server asks to be left alone for so long
}

func (e *hubError) Error() string { return e.text }
func (e *hubError) Unwrap() error { return e.err }

func unreachable(err error) bool {
	e, ok := errors.AsType[*hubError](err)
	return ok && e.unreachable
}

// isAbsent says whether the commit, which is known to exist, has no such file.
func isAbsent(err error) bool {
	e, ok := errors.AsType[*hubError](err)
	return ok && e.status == http.StatusNotFound && (e.code == "EntryNotFound" || e.code == "")
}

// connectionError is for a request that got no answer, or not all of it.
func connectionError(u *url.URL, err error) error {
	if withQuery, ok := errors.AsType[*url.Error](err); ok {
		err = withQuery.Err
	}
	_, refused := errors.AsType[*tls.CertificateVerificationError](err)
	reason := fmt.Sprintf("%.300s", err.Error()) // may repeat what the other side sent
	if errors.Is(err, context.DeadlineExceeded) {
		reason = "no answer in time"
	}
	return &hubError{text: fmt.Sprintf("%s: %s", shownURL(u), reason),
		err: err, temporary: !refused, unreachable: true}
}

// statusError puts an answer that is no success into words that say what to do.
func (r *remote) statusError(resp *http.Response, revision, file string) error {
	e := &hubError{status: resp.StatusCode, code: resp.Header.Get("X-Error-Code")}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.after = time.Duration(min(seconds, 3600)) * time.Second
	}
	e.temporary = e.status == http.StatusRequestTimeout || e.status == http.StatusTooManyRequests || e.status >= 500
	e.unreachable = e.temporary
	// where the content is kept; a mirror may also send us to the hub itself
	if e.code == "" && !sameOrigin(resp.Request.URL, r.endpoint) {
		e.code = "Elsewhere"
		// A signed address that has run out is refused; the hub gives a new one at the next try.
		e.temporary = e.temporary || e.status == http.StatusUnauthorized || e.status == http.StatusForbidden
		e.text = fmt.Sprintf("%s: %s answers %s", file, shownURL(resp.Request.URL), shownStatus(resp))
		return e
	}
	page := strings.TrimRight(shownURL(r.endpoint), "/") + "/" + r.cache.repo
	login := "set HF_TOKEN to a token that may read it"
	if r.Token != "" {
		login = "see that the token in HF_TOKEN or the token file is valid and may read it"
	}
	switch {
	case e.code == "GatedRepo":
		e.text = fmt.Sprintf("access must be granted: accept the terms at %s while logged in, and %s", page, login)
	case e.code == "RevisionNotFound":
		e.text = fmt.Sprintf("%s has no branch, tag or commit %s", page, revision)
	case e.code == "EntryNotFound":
		e.text = fmt.Sprintf("%s has no %s at this revision", page, file)
	case e.code == "RepoNotFound", e.status == http.StatusUnauthorized:
		e.text = fmt.Sprintf("%s does not exist or is private: check the spelling, or %s", page, login)
	case e.status == http.StatusForbidden:
		e.text = fmt.Sprintf("%s: access is forbidden: %s", page, login)
	case e.status == http.StatusNotFound:
		e.text = fmt.Sprintf("%s, revision %s, file %s: no such thing", page, revision, file)
	default:
		e.text = fmt.Sprintf("%s/%s: the hub answers", page, file)
	}
	e.text += " (" + shownStatus(resp) + ")"
	return e
}

// shownStatus is the status and what the hub says of it.
func shownStatus(resp *http.Response) string {
	s := fmt.Sprint(resp.StatusCode)
	if text := http.StatusText(resp.StatusCode); text != "" {
		s += " " + text
	}
	if message := resp.Header.Get("X-Error-Message"); message != "" {
		s += ": " + quoted(message)
	}
	return s
}
