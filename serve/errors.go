package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/adavit/adavit/internal/usage"
)

// Error is what a client is told: a status of HTTP, which every interface translates into its own, and a sentence that
// says what to do.
type Error struct {
	Status     int
	Message    string
	RetryAfter time.Duration // with 503: when it is worth trying again
	Allow      string        // with 405: the verbs that work
}

func (e *Error) Error() string { return e.Message }

// refuse makes an Error.
func refuse(status int, format string, args ...any) *Error {
	return &Error{Status: status, Message: shortened(fmt.Sprintf(format, args...))}
}

// shortened is a text without its middle if it is long: names and shapes in an error are the client's, and may have any
// length.
func shortened(text string) string {
	const begin, end = 500, 200
	if len(text) <= begin+end {
		return text
	}
	return strings.ToValidUTF8(text[:begin], "") + "…" + strings.ToValidUTF8(text[len(text)-end:], "")
}

// asError gives any error its status. What is not known to be the client's doing is an internal error.
func asError(err error) *Error {
	var known *Error
	var size *http.MaxBytesError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &size):
		return refuse(http.StatusRequestEntityTooLarge,
			"the body has more than %d bytes; send fewer pictures at a time, or start the server with a larger --max-body",
			size.Limit)
	case errors.Is(err, context.DeadlineExceeded):
		return refuse(http.StatusGatewayTimeout,
			"the deadline passed before there was an answer; allow more time, or ask for a smaller compute_budget")
	case errors.Is(err, context.Canceled):
		return refuse(statusClientGone, "the client hung up")
	case errors.Is(err, usage.Err):
		return refuse(http.StatusBadRequest, "%v", err)
	}
	return refuse(http.StatusInternalServerError, "%v", err)
}

// statusClientGone is nginx's status for a client that did not wait for its answer; it goes into logs and metrics only.
const statusClientGone = 499
