package secure

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority signs certificates for the tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

func (a authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

func (a authority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

// issue signs a certificate that is good until then, and returns it with its key, both in PEM.
func (a authority) issue(t *testing.T, serial int64, until time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, private.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

// pair is what issue returns, as a client shows it.
func pair(t *testing.T, cert, key string) tls.Certificate {
	t.Helper()
	p, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// serveTLS runs an HTTPS server with it and returns its address.
func serveTLS(t *testing.T, secure *TLS) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }),
		TLSConfig: secure.Config("h2", "http/1.1"), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0),
	}
	go server.ServeTLS(l, "", "")
	t.Cleanup(func() { server.Close() })
	return l.Addr().String()
}

// ask makes a connection of its own and returns the serial number of the server's certificate and the answer.
func ask(addr string, client *tls.Config) (serial int64, answer string, err error) {
	client = client.Clone()
	client.ServerName = "localhost"
	transport := &http.Transport{TLSClientConfig: client, ForceAttemptHTTP2: true, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	r, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Get("https://" + addr)
	if err != nil {
		return 0, "", err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	return r.TLS.PeerCertificates[0].SerialNumber.Int64(), string(body), err
}

func TestCertificateChanges(t *testing.T) {
	ca := newAuthority(t)
	dir := t.TempDir()
	files := Files{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
	cert, key := ca.issue(t, 10, time.Now().Add(time.Hour))
	write(t, files.Cert, cert)
	write(t, files.Key, key)
	var log bytes.Buffer
	secure, err := OpenTLS(files, slog.New(slog.NewTextHandler(&lockedWriter{w: &log}, nil)))
	if err != nil {
		t.Fatal(err)
	}
	addr := serveTLS(t, secure)
	// A client that resumes its sessions sees new certificates as well, or goes on with the old session; either works.
	client := &tls.Config{RootCAs: ca.pool()}
	want := func(step string, serial int64) {
		t.Helper()
		secure.kept.mu.Lock()
		secure.kept.looked = time.Time{}
		secure.kept.mu.Unlock()
		if got, answer, err := ask(addr, client); got != serial || answer != "HTTP/2.0" || err != nil {
			t.Errorf("%s: certificate %d, answer %q, %v; want %d", step, got, answer, err, serial)
		}
	}
	want("at first", 10)

	cert2, key2 := ca.issue(t, 11, time.Now().Add(2*time.Hour))
	write(t, files.Cert, cert2)
	want("with a certificate whose key is not there yet", 10)
	write(t, files.Key, key2)
	want("with both", 11)
	if !secure.Expires().After(time.Now().Add(90 * time.Minute)) {
		t.Errorf("expires %v", secure.Expires())
	}
	write(t, files.Key, "garbage")
	want("with a damaged key", 11)
	if err := secure.Reload(); err == nil || !strings.Contains(err.Error(), files.Key) {
		t.Errorf("Reload with a damaged key: %v", err)
	}
	write(t, files.Cert, cert)
	write(t, files.Key, key)
	if err := secure.Reload(); err != nil {
		t.Errorf("Reload: %v", err)
	}
	want("after Reload", 10)
	if n := strings.Count(log.String(), "reload failed"); n != 2 {
		t.Errorf("two failures were reported %d times:\n%s", n, &log)
	}

	for _, version := range []uint16{tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13} {
		_, _, err := ask(addr, &tls.Config{RootCAs: ca.pool(), MinVersion: tls.VersionTLS10, MaxVersion: version})
		if (err == nil) != (version >= tls.VersionTLS12) {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}

// TestClientCertificates: with an authority for clients nobody comes in without its certificate, and one that is taken
// away counts from the next connection on, even for clients that resume sessions.
func TestClientCertificates(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	dir := t.TempDir()
	files := Files{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "ca.crt")}
	cert, key := ca.issue(t, 10, time.Now().Add(time.Hour))
	write(t, files.Cert, cert)
	write(t, files.Key, key)
	write(t, files.ClientCA, ca.pem())
	secure, err := OpenTLS(files, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	addr := serveTLS(t, secure)
	ours := pair(t, cert, key)
	cert, key = other.issue(t, 12, time.Now().Add(time.Hour))
	strange := pair(t, cert, key)
	cert, key = ca.issue(t, 13, time.Now().Add(-time.Minute))
	expired := pair(t, cert, key)
	cache := tls.NewLRUClientSessionCache(4)
	for _, c := range []struct {
		name  string
		certs []tls.Certificate
		good  bool
	}{
		{"ours", []tls.Certificate{ours}, true}, {"none", nil, false},
		{"of another authority", []tls.Certificate{strange}, false}, {"expired", []tls.Certificate{expired}, false},
	} {
		client := &tls.Config{RootCAs: ca.pool(), Certificates: c.certs}
		if c.good {
			client.ClientSessionCache = cache
		}
		if _, _, err := ask(addr, client); (err == nil) != c.good {
			t.Errorf("certificate %s: %v", c.name, err)
		}
	}
	write(t, files.ClientCA, other.pem())
	if err := secure.Reload(); err != nil {
		t.Fatal(err)
	}
	client := &tls.Config{RootCAs: ca.pool(), Certificates: []tls.Certificate{ours}, ClientSessionCache: cache}
	if _, _, err := ask(addr, client); err == nil {
		t.Error("a client came in whose authority was taken away")
	}
	if _, _, err := ask(addr, &tls.Config{RootCAs: ca.pool(), Certificates: []tls.Certificate{strange}}); err != nil {
		t.Errorf("a client of the new authority: %v", err)
	}
}

func TestOpenTLSErrors(t *testing.T) {
	ca := newAuthority(t)
	cert, key := ca.issue(t, 10, time.Now().Add(time.Hour))
	old, oldKey := ca.issue(t, 11, time.Now().Add(-time.Minute))
	_, wrong := ca.issue(t, 12, time.Now().Add(time.Hour))
	broken := "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	for _, c := range []struct{ name, cert, key, ca, want string }{
		{"good", cert, key, "", ""},
		{"good, two authorities", cert, key, ca.pem() + ca.pem(), ""},
		{"expired", old, oldKey, "", "not valid now"},
		{"another key", cert, wrong, "", "private key does not match"},
		{"no certificate", "", key, "", "tls.crt"},
		{"files swapped", key, cert, "", "may have been switched"},
		{"encrypted", cert, strings.ReplaceAll(key, "PRIVATE KEY", "ENCRYPTED PRIVATE KEY"), "", "openssl pkey"},
		{"no authority", cert, key, "hello", "ca.crt: no certificate in it"},
		{"a key for an authority", cert, key, key, `PEM block "PRIVATE KEY"`},
		{"one of two is broken", cert, key, ca.pem() + broken, "certificate 2"},
		{"too large", cert, key + strings.Repeat("\n", maxFileSize), "", "at most 1048576"},
	} {
		dir := t.TempDir()
		files := Files{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
		write(t, files.Cert, c.cert)
		write(t, files.Key, c.key)
		if c.ca != "" {
			files.ClientCA = filepath.Join(dir, "ca.crt")
			write(t, files.ClientCA, c.ca)
		}
		var log bytes.Buffer
		_, err := OpenTLS(files, slog.New(slog.NewTextHandler(&log, nil)))
		told := log.String()
		if err != nil {
			told += err.Error()
		}
		if !strings.Contains(told, c.want) || c.want == "" && told != "" {
			t.Errorf("%s: %v, log %q, want %q", c.name, err, &log, c.want)
		}
	}
	if _, err := OpenTLS(Files{Cert: "nowhere.crt", Key: "nowhere.key"}, slog.New(slog.DiscardHandler)); err == nil ||
		!strings.Contains(err.Error(), "nowhere.crt") {
		t.Errorf("no such file: %v", err)
	}
}
