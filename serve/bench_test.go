package serve

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"testing"

	pb "github.com/adavit/adavit/serve/inferencepb"
)

// BenchmarkInfer has the bundled model answer clients on the same machine by HTTP and by gRPC, tensors in, as many at a
// time as there are CPUs: what each interface costs beside the engine's time, which is in all of them.
func BenchmarkInfer(b *testing.B) {
	// A second thread would share single images with the first, and both wait for each other on the clients' CPUs.
	s, conn, _ := startGRPC(b, Options{Threads: 1, HTTP: "127.0.0.1:0"}, bundled)
	client := pb.NewGRPCInferenceServiceClient(conn)
	url := "http://" + s.Addresses()["http"] + "/v2/models/" + bundled.Name + "/infer"
	for _, images := range []int{1, 8} {
		request, in := pixelRequest(b, s, bundled.Name, images)
		body, header := binaryRequest(b, map[string]any{"parameters": map[string]bool{"binary_data_output": true}}, in)
		run := func(name string, ask func() error) {
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				b.RunParallel(func(p *testing.PB) {
					for p.Next() {
						if err := ask(); err != nil {
							b.Error(err)
							return
						}
					}
				})
				b.ReportMetric(float64(images*b.N)/b.Elapsed().Seconds(), "images/s")
			})
		}
		size := strconv.Itoa(images)
		run("engine/"+size, func() error {
			_, err := s.Infer(b.Context(), &Request{Model: bundled.Name, Inputs: []Tensor{in}})
			return err
		})
		run("http/"+size, func() error {
			r, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
			if err != nil {
				return err
			}
			r.Header.Set(header[0], header[1])
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				b.Error(resp.Status)
			}
			_, err = io.Copy(io.Discard, resp.Body)
			return err
		})
		run("grpc/"+size, func() error {
			_, err := client.ModelInfer(b.Context(), request)
			return err
		})
	}
}
