package bound

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// ErrSlow is wrapped by what reading a body returns whose client sends too slowly. The status for it is 408.
var ErrSlow = errors.New("the body came too slowly")

// Body returns the body of a request, which is an error (*http.MaxBytesError) if it has more than limit bytes, and
// another one (ErrSlow) once it is slower than rate bytes a second, patience not counted, once nothing comes for as
// long as patience, or once it takes longer than most in all (0: whatever that comes to). The connection of a client
// that breaks a bound is closed after the answer.
func Body(w http.ResponseWriter, r *http.Request, limit int64, patience, most time.Duration, rate int64) io.ReadCloser {
	return &body{
		ReadCloser: http.MaxBytesReader(w, r.Body, limit),
		control:    http.NewResponseController(w),
		begin:      time.Now(), patience: patience, most: most, rate: rate,
	}
}

type body struct {
	io.ReadCloser
	control  *http.ResponseController
	begin    time.Time
	deadline time.Time // of the connection, as it was set last
	patience time.Duration
	most     time.Duration
	rate     int64
	read     int64
	err      error // once there was one it stays
}

func (b *body) Read(p []byte) (n int, err error) {
	if b.err != nil {
		return 0, b.err
	}
	allowed := b.patience + time.Duration(float64(b.read)/float64(b.rate)*float64(time.Second))
	allowed = min(allowed, time.Since(b.begin)+b.patience)
	if b.most > 0 {
		allowed = min(allowed, b.most)
	}
	deadline := b.begin.Add(allowed)
	if deadline.Sub(b.deadline).Abs() > b.patience/16 { // not with each byte
		b.deadline = deadline
		if err := b.control.SetReadDeadline(deadline); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return 0, err
		}
	}
	n, err = b.ReadCloser.Read(p)
	b.read += int64(n)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("%w: %d bytes in %v, want %d a second at least", ErrSlow, b.read,
			time.Since(b.begin).Round(time.Millisecond), b.rate)
	}
	if err == io.EOF {
		// The server goes on reading to see whether the client hangs up; a deadline would end the request.
		b.control.SetReadDeadline(time.Time{})
	}
	b.err = err
	return n, err
}
