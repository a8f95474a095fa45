package secure

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/adavit/adavit/internal/regular"
)

// Scope is what a key is good for. Each scope includes those below it.
type Scope int

const (
	Infer Scope = iota + 1 // asking models, and about them
	Admin                  // loading, unloading and reloading; includes Infer
)

func (s Scope) String() string { return [...]string{"none", "infer", "admin"}[s] }

// Bounds of a file of keys, and of a key in bytes.
const (
	maxKeys   = 1024
	minKey    = 16
	maxKey    = 256
	keyDigest = sha256.Size
)

// What is wrong with the key of a request: 401 is the status for the first two, 403 for the last. The texts say what to
// do.
var (
	ErrNoKey    = errors.New(`this server wants a key: send the header "Authorization: Bearer KEY"`)
	ErrWrongKey = errors.New("this server does not know the key: ask its operator for a current one")
	ErrScope    = errors.New("this key may not do that: a key of scope admin may")
)

// Keys are the keys that a server accepts, from a file that may change while it runs. A nil *Keys accepts everything.
type Keys struct{ kept *kept[keySet] }

// OpenKeys reads a file of keys. Each line holds a scope, infer or admin, and a key: 16 to 256 letters, digits and
// -._~+/=. Empty lines and lines that begin with # are skipped. Errors name file and line, and never a key.
func OpenKeys(path string, log *slog.Logger) (*Keys, error) {
	k, err := open(log, func() (*keySet, error) {
		text, err := regular.Read(path, maxFileSize)
		if err != nil {
			return nil, err
		}
		warnOpen(log, path)
		set, err := parseKeys(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return set, nil
	}, path)
	if err != nil {
		return nil, err
	}
	return &Keys{k}, nil
}

// Reload reads the file at once, changed or not. After an error what was read before stays in force.
func (k *Keys) Reload() error {
	if k == nil {
		return nil
	}
	return k.kept.reload()
}

// Check says whether a key is good for a scope: nil, ErrNoKey for "", ErrWrongKey or ErrScope.
func (k *Keys) Check(key string, scope Scope) error {
	switch {
	case k == nil:
		return nil
	case key == "":
		return ErrNoKey
	case len(key) > maxKey:
		return ErrWrongKey
	}
	switch found := k.kept.get().scope(key); {
	case found == 0:
		return ErrWrongKey
	case found < scope:
		return ErrScope
	}
	return nil
}

// CheckHeader is Check for the values of a request's Authorization header, which are also those of gRPC's metadata
// "authorization": there must be one, "Bearer KEY".
func (k *Keys) CheckHeader(values []string, scope Scope) error {
	if k == nil {
		return nil
	}
	if len(values) != 1 {
		return ErrNoKey
	}
	scheme, key, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ErrNoKey
	}
	return k.Check(strings.TrimSpace(key), scope)
}

// keySet is a file of keys: their digests, so that no key stays in memory, and comparing takes the same time for all.
type keySet struct {
	digests [][keyDigest]byte
	scopes  []Scope
}

// scope is that of a key, 0 if there is no such key. It looks at all keys, whichever it is.
func (s *keySet) scope(key string) Scope {
	digest := sha256.Sum256([]byte(key))
	found := 0
	for i := range s.digests {
		same := subtle.ConstantTimeCompare(digest[:], s.digests[i][:])
		found = subtle.ConstantTimeSelect(same, int(s.scopes[i]), found)
	}
	return Scope(found)
}

func parseKeys(text []byte) (*keySet, error) {
	set := new(keySet)
	known := map[[keyDigest]byte]int{} // the line of each
	number := 0
	for line := range bytes.Lines(text) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		fields := bytes.Fields(line)
		if len(fields) != 2 {
			return nil, fmt.Errorf("line %d has %d words, want a scope (infer or admin) and a key", number, len(fields))
		}
		var scope Scope
		switch string(fields[0]) {
		case "infer":
			scope = Infer
		case "admin":
			scope = Admin
		default: // whatever it is, it may be a key
			return nil, fmt.Errorf("line %d begins with no scope that there is, want infer or admin", number)
		}
		key := fields[1]
		if len(key) < minKey || len(key) > maxKey {
			return nil, fmt.Errorf("line %d: a key of %d characters, want %d to %d (openssl rand -hex 32 makes one)", number,
				len(key), minKey, maxKey)
		}
		if bytes.ContainsFunc(key, func(r rune) bool { return !inKey(r) }) {
			return nil, fmt.Errorf("line %d: a key has letters, digits and -._~+/= only", number)
		}
		digest := sha256.Sum256(key)
		if first, ok := known[digest]; ok {
			return nil, fmt.Errorf("line %d has the key of line %d again", number, first)
		}
		known[digest] = number
		set.digests, set.scopes = append(set.digests, digest), append(set.scopes, scope)
		if len(set.scopes) > maxKeys {
			return nil, fmt.Errorf("more than %d keys", maxKeys)
		}
	}
	if len(set.scopes) == 0 {
		return nil, errors.New("no key in it: want lines of a scope (infer or admin) and a key")
	}
	return set, nil
}

// inKey holds for what RFC 6750 lets a bearer token have.
func inKey(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._~+/=", r)
}
