package secure

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/adavit/adavit/internal/regular"
)

// Files names the PEM files of a server: its certificate with the chain up to the root, its private key and, if
// clients have to show certificates of their own, the authorities that sign these ("" if they have not).
type Files struct{ Cert, Key, ClientCA string }

// TLS is a server's side of TLS 1.2 and later, from files that may change while it runs.
type TLS struct{ kept *kept[identity] }

// OpenTLS reads the files. Errors name the file.
func OpenTLS(files Files, log *slog.Logger) (*TLS, error) {
	paths := []string{files.Cert, files.Key}
	if files.ClientCA != "" {
		paths = append(paths, files.ClientCA)
	}
	k, err := open(log, func() (*identity, error) { return loadIdentity(files, log) }, paths...)
	if err != nil {
		return nil, err
	}
	return &TLS{k}, nil
}

// Config is for one listener, which speaks the given protocols of ALPN: "h2" and "http/1.1", or "h2" alone for gRPC.
// A connection gets the certificate and the authorities that the files hold when it shakes hands, and keeps them.
func (t *TLS) Config(protocols ...string) *tls.Config {
	type made struct {
		of     *identity
		config *tls.Config
	}
	var last atomic.Pointer[made]
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: protocols,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			now := t.kept.get()
			if m := last.Load(); m != nil && m.of == now {
				return m.config, nil
			}
			m := &made{now, now.config(protocols)}
			last.Store(m)
			return m.config, nil
		},
	}
}

// Reload reads the files at once, changed or not. After an error what was read before stays in force.
func (t *TLS) Reload() error { return t.kept.reload() }

// Expires says when the certificate of the server ends.
func (t *TLS) Expires() time.Time { return t.kept.get().cert.Leaf.NotAfter }

// identity is what the files hold; it never changes.
type identity struct {
	cert    tls.Certificate
	clients *x509.CertPool // nil: clients show no certificate
}

func (id *identity) config(protocols []string) *tls.Config {
	c := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		NextProtos:   protocols,
		Certificates: []tls.Certificate{id.cert},
	}
	if id.clients != nil {
		c.ClientAuth = tls.RequireAndVerifyClientCert
		c.ClientCAs = id.clients
		// A resumed session would show no certificate again, and outlive an authority that was taken away.
		c.SessionTicketsDisabled = true
	}
	return c
}

func loadIdentity(files Files, log *slog.Logger) (*identity, error) {
	certPEM, err := regular.Read(files.Cert, maxFileSize)
	if err != nil {
		return nil, err
	}
	keyPEM, err := regular.Read(files.Key, maxFileSize)
	if err != nil {
		return nil, err
	}
	if bytes.Contains(keyPEM, []byte("ENCRYPTED")) {
		return nil, fmt.Errorf("%s: the private key is encrypted: openssl pkey -in %[1]s takes the password away", files.Key)
	}
	id := new(identity)
	if id.cert, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", files.Cert, files.Key, err)
	}
	warnOpen(log, files.Key)
	if leaf, now := id.cert.Leaf, time.Now(); now.After(leaf.NotAfter) || now.Before(leaf.NotBefore) {
		log.Warn("the certificate is not valid now, clients will refuse it", "file", files.Cert, "from", leaf.NotBefore,
			"until", leaf.NotAfter)
	}
	if files.ClientCA == "" {
		return id, nil
	}
	caPEM, err := regular.Read(files.ClientCA, maxFileSize)
	if err != nil {
		return nil, err
	}
	if id.clients, err = parsePool(caPEM); err != nil {
		return nil, fmt.Errorf("%s: %w", files.ClientCA, err)
	}
	return id, nil
}

// parsePool reads certificates, one at least. Unlike AppendCertsFromPEM it does not skip what it cannot read: clients
// of that authority would be shut out without a word.
func parsePool(text []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	n := 0
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("PEM block %q where a CERTIFICATE was expected", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", n+1, err)
		}
		pool.AddCert(cert)
		n++
	}
	if n == 0 {
		return nil, errors.New("no certificate in it (PEM is wanted)")
	}
	return pool, nil
}
