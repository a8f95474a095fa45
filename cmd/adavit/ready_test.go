package main

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// BenchmarkReady times a server from the start of its process until /v2/health/ready is 200, when its model has
// answered a trial image: DeiT-S with random weights in a directory, as a volume has it, stored in three ways. A pod
// that is started from zero takes this long besides what Kubernetes takes. The figures are the median and the slowest.
func BenchmarkReady(b *testing.B) {
	c, err := vit.Variant("deit-small")
	if err != nil {
		b.Fatal(err)
	}
	m := &vit.Model{Params: vit.Initialize(c, 1, 0),
		Preprocessor: picture.DefaultPreprocessor(c.Height, c.Width, c.Channels)}
	for _, stored := range []struct {
		precision string
		dtype     weights.DType
		save      func(dir string, m *vit.Model, dtype weights.DType) error
	}{{"f32", weights.F32, vit.Save}, {"int8", weights.I8, vit.SaveRounded}, {"bf16", weights.BF16, vit.SaveRounded}} {
		dir := filepath.Join(b.TempDir(), "small")
		if err := stored.save(dir, m, stored.dtype); err != nil {
			b.Fatal(err)
		}
		b.Run(stored.precision, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				took = append(took, untilReady(b, "--model", "small="+dir, "--precision", stored.precision))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1e3, "ms/ready")
			b.ReportMetric(float64(took[len(took)-1].Microseconds())/1e3, "ms/slowest")
		})
	}
}

// untilReady starts a server, waits until it is ready, ends it, and returns how long it took to be ready.
func untilReady(b *testing.B, args ...string) time.Duration {
	b.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	cmd := self(append([]string{"serve", "--http", address, "--grpc", "off", "--admin", "off"}, args...)...)
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	for time.Since(begin) < time.Minute {
		r, err := http.Get(fmt.Sprintf("http://%s/v2/health/ready", address))
		if err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return time.Since(begin)
			}
		}
		time.Sleep(time.Millisecond)
	}
	b.Fatal("the server is not ready after a minute")
	return 0
}
