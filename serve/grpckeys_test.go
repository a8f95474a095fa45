package serve

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "github.com/adavit/adavit/serve/inferencepb"
	"github.com/adavit/adavit/serve/secure"
)

// TestGRPCKeys: who has no key is told so before anything of the request is read, and who has one for TLS's sake alone
// is told what it is not good for.
func TestGRPCKeys(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	user, admin := strings.Repeat("u", 40), strings.Repeat("a", 40)
	keys, err := secure.OpenKeys(write("keys", "infer "+user+"\nadmin "+admin+"\n"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	cert, key := selfSigned(t)
	identity, err := secure.OpenTLS(secure.Files{Cert: write("cert", cert), Key: write("key", key)},
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s, _, _ := startGRPC(t, Options{Threads: 1, Keys: keys, TLS: identity}, withLadder(t))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(cert))
	client := pb.NewGRPCInferenceServiceClient(dial(t, s, credentials.NewTLS(&tls.Config{RootCAs: roots})))
	r, _ := pixelRequest(t, s, "small", 1)
	for i, test := range []struct {
		key         string
		infer, load codes.Code
	}{
		{"", codes.Unauthenticated, codes.Unauthenticated},
		{strings.Repeat("x", 40), codes.Unauthenticated, codes.Unauthenticated},
		{user, codes.OK, codes.PermissionDenied},
		{admin, codes.OK, codes.OK},
	} {
		ctx := t.Context()
		if test.key != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+test.key)
		}
		if _, err := client.ModelInfer(ctx, r); status.Code(err) != test.infer {
			t.Errorf("%d: infer: %v, want %v", i, err, test.infer)
		}
		stream, err := client.ModelStreamInfer(ctx)
		if err == nil {
			stream.Send(r)
			_, err = stream.Recv()
		}
		if status.Code(err) != test.infer {
			t.Errorf("%d: stream: %v, want %v", i, err, test.infer)
		}
		_, err = client.RepositoryModelLoad(ctx, &pb.RepositoryModelLoadRequest{ModelName: "small"})
		if status.Code(err) != test.load {
			t.Errorf("%d: load: %v, want %v", i, err, test.load)
		}
		if _, err := client.ServerLive(ctx, &pb.ServerLiveRequest{}); err != nil {
			t.Errorf("%d: live: %v", i, err)
		}
	}
}

// selfSigned makes a certificate for 127.0.0.1 and its key, in PEM.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
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
