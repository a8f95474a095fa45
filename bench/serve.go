package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/adavit/adavit/internal/tools"
	"github.com/adavit/adavit/internal/turns"
)

// Servers are measured one at a time on some CPUs, while the generator runs on others: 'adavit bench --url', which
// sends pictures by a schedule. A turn of a server is its start until the first answer, the search for its capacity,
// half and 0.8 of that capacity, and a look at its memory. Servers take turns like the sides of other contests.

// Names of the two kinds of server.
const fastAPIName = "FastAPI"

// contestant is one server with what was measured of it.
type contestant struct {
	who, what string // such as adavit, "int8 halting"
	how       string // the peer's setting
	server    server
	same      int // pictures of checkPictures to which it says what our float32 says
	turns     []serverTurn
}

// serverTurn is what one turn came to. Times are in milliseconds.
type serverTurn struct {
	startup, capacity float64
	p50, p99          [len(serverLoads)]float64
	held              held
}

// serverLoads are the shares of its capacity at which a server's latency is measured.
var serverLoads = [...]float64{0.5, 0.8}

// serverContest is all servers of one model.
type serverContest struct {
	model    *served
	all      []*contestant
	overhead *overhead
}

// serveFindings is all that was measured of servers.
type serveFindings struct {
	findings
	program  *ourProgram
	contests []*serverContest

	measured, doubtful int    // latencies, and those of them that the generator warned of
	warning            string // the first
}

// measureServers runs what -serve and -overload ask for.
func measureServers(ctx context.Context, o options) error {
	f := &serveFindings{findings: findings{options: o, date: time.Now(), machine: describeMachine(ctx)}}
	f.commands.replace = [][2]string{{o.cache, "CACHE"}}
	f.versions = append(f.versions, "adavit: "+revision(ctx)+", "+runtime.Version())
	if err := os.MkdirAll(o.cache, 0o777); err != nil {
		return err
	}
	var err error
	if f.program, err = newProgram(ctx, o); err != nil {
		return err
	}
	if o.serve {
		if err := f.serve(ctx); err != nil {
			return err
		}
	}
	if o.overload {
		return f.overload(ctx)
	}
	return nil
}

// doubt counts a measurement, and what the generator warns of.
func (f *serveFindings) doubt(r tools.RateResult, format string, args ...any) {
	f.measured++
	if len(r.Warnings) == 0 {
		return
	}
	if f.doubtful++; f.warning == "" {
		f.warning = fmt.Sprintf(format, args...) + ": " + r.Warnings[0]
	}
}

// noteDoubts makes a note of that.
func (f *serveFindings) noteDoubts() {
	if f.doubtful > 0 {
		f.note("the generator warned in %d of %d measurements, first in %s", f.doubtful, f.measured, f.warning)
	}
}

// serve measures all servers and writes the section.
func (f *serveFindings) serve(ctx context.Context) error {
	peer := &fastAPI{}
	f.progress("preparing %s", fastAPIName)
	version, err := peer.prepare(ctx, f.options.cache, &f.commands)
	switch {
	case errors.Is(err, errAbsent):
		f.note("%s was left out: %v", fastAPIName, err)
		peer = nil
	case err != nil:
		return fmt.Errorf("%s: %w", fastAPIName, err)
	default:
		f.versions = append(f.versions, fastAPIName+": "+version)
	}
	for _, name := range f.options.modelsOr("fashion", "deit-tiny", "deit-small") {
		f.progress("making %s", name)
		m, err := makeServed(ctx, f.options.cache, name)
		if err != nil {
			return fmt.Errorf("model %s: %w", name, err)
		}
		c := &serverContest{model: m}
		if err := f.enter(ctx, c, peer); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := f.measure(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		f.contests = append(f.contests, c)
	}
	f.noteDoubts()
	f.took = time.Since(f.date)
	var text bytes.Buffer
	f.writeServers(&text)
	if _, err := f.options.stdout.Write(text.Bytes()); err != nil {
		return err
	}
	return replaceSection(f.options.out, text.String())
}

// serverCores is how many CPUs the server has.
func (o serveOptions) serverCores() int { return cores(o.serverCPUs) }

// cores counts a list of CPUs, such as 0,2-3.
func cores(cpus string) (n int) {
	for _, part := range list(cpus) {
		first, last, spread := strings.Cut(part, "-")
		n++
		if a, err := strconv.Atoi(first); spread && err == nil {
			if b, err := strconv.Atoi(last); err == nil && b > a {
				n += b - a
			}
		}
	}
	return n
}

// enter lists the servers of a model, finds the peer's best setting, and looks at what all answer.
func (f *serveFindings) enter(ctx context.Context, c *serverContest, peer *fastAPI) error {
	m, threads := c.model, []string{"--threads", strconv.Itoa(f.options.serverCores())}
	ours := func(model, precision, what string) {
		c.all = append(c.all, &contestant{who: oursName, what: what,
			server: f.program.server(model, append(threads, "--precision", precision)...)})
	}
	ours(m.dense, f32, f32)
	ours(m.dense, int8Name, int8Name)
	ours(m.adaptive, int8Name, int8Name+haltingTag)
	if peer != nil && m.peer {
		f.progress("%s: quantising", m.name)
		dynamic, static, err := peer.quantize(ctx, m, &f.commands)
		if err != nil {
			return err
		}
		for _, p := range []struct{ what, file string }{{f32, m.onnx}, {int8Name + " dynamic", dynamic},
			{int8Name + " static", static}} {
			best, err := f.tune(ctx, m, peer, p.what, p.file)
			if err != nil {
				return err
			}
			c.all = append(c.all, &contestant{who: fastAPIName, what: p.what, how: best.String(),
				server: peer.server(m, p.file, best)})
		}
	}
	return f.checkAnswers(ctx, c)
}

// tune finds the setting by which the peer answers most.
func (f *serveFindings) tune(ctx context.Context, m *served, peer *fastAPI, what, onnx string) (
	best setting, err error) {
	most := 0.0
	for _, s := range settings(f.options.serverCores()) {
		r, err := launch(ctx, peer.server(m, onnx, s), f.options.serverCPUs, m.first)
		if err != nil {
			return best, err
		}
		result, err := f.program.load(ctx, r.url, true, serverLoads[:1], f.options.time/2, "--images", m.pictures)
		r.stop()
		if err != nil {
			return best, err
		}
		f.progress("%s, %s %s, %v: %.4g requests/s", m.name, fastAPIName, what, s, result.Capacity.Requests)
		if result.Capacity.Requests > most {
			best, most = s, result.Capacity.Requests
		}
	}
	return best, nil
}

// checkPictures is how many answers are compared, of which float32 may differ in one: classes may be as good as equal.
const checkPictures = 16

// checkAnswers asks every server for some pictures' classes.
func (f *serveFindings) checkAnswers(ctx context.Context, c *serverContest) error {
	names, err := filepath.Glob(filepath.Join(c.model.pictures, "even", "*.jpg"))
	if err != nil {
		return err
	}
	names = names[:min(checkPictures, len(names))]
	var ours []int
	for i, side := range c.all {
		r, err := launch(ctx, side.server, f.options.serverCPUs, c.model.first)
		if err != nil {
			return err
		}
		got, err := classesOf(ctx, r.url, names)
		r.stop()
		if err != nil {
			return fmt.Errorf("%s %s: %w", side.who, side.what, err)
		}
		if i == 0 {
			ours = got
		}
		for k := range got {
			if got[k] == ours[k] {
				side.same++
			}
		}
		if side.what == f32 && side.same < len(names)-1 {
			return fmt.Errorf("%s %s says the same as ours of %d pictures in %d: it computes something else", side.who,
				side.what, side.same, len(names))
		}
	}
	return nil
}

// classesOf asks for the likeliest class of each picture.
func classesOf(ctx context.Context, url string, names []string) (classes []int, err error) {
	for _, name := range names {
		picture, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/classify?top=5", bytes.NewReader(picture))
		if err != nil {
			return nil, err
		}
		request.Header.Set("Content-Type", "image/jpeg")
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
		answer.Body.Close()
		if err != nil {
			return nil, err
		}
		var said struct{ Top []struct{ Class int } }
		if err := json.Unmarshal(text, &said); err != nil || len(said.Top) != 5 {
			return nil, fmt.Errorf("status %d: %.200s (%v)", answer.StatusCode, text, err)
		}
		classes = append(classes, said.Top[0].Class)
	}
	return classes, nil
}

// measure lets the servers take turns, and then our server and our engine.
func (f *serveFindings) measure(ctx context.Context, c *serverContest) error {
	o := f.options
	err := turns.Play(ctx, o.serveOptions.rounds, len(c.all), func(round, i int) error {
		side := c.all[i]
		t, err := f.turn(ctx, c.model, side)
		if err != nil {
			return fmt.Errorf("%s %s: %w", side.who, side.what, err)
		}
		side.turns = append(side.turns, t)
		f.progress("%s, round %d, %s %s: %.4g requests/s", c.model.name, round+1, side.who, side.what, t.capacity)
		return nil
	}, nil)
	if err != nil {
		return err
	}
	c.overhead, err = f.measureOverhead(ctx, c.model)
	return err
}

// turn is one server's.
func (f *serveFindings) turn(ctx context.Context, m *served, side *contestant) (t serverTurn, err error) {
	r, err := launch(ctx, side.server, f.options.serverCPUs, m.first)
	if err != nil {
		return t, err
	}
	defer r.stop()
	t.startup = r.startup.Seconds() * 1000
	result, err := f.program.load(ctx, r.url, true, serverLoads[:], f.options.time, "--images", m.pictures)
	if err != nil {
		return t, err
	}
	t.capacity = result.Capacity.Requests
	for i, rate := range result.Rates {
		if rate.Latency == nil || rate.Success < 0.99 {
			return t, fmt.Errorf("at %v of its capacity it answers %.1f %%: %v", serverLoads[i], 100*rate.Success, rate.Answers)
		}
		t.p50[i], t.p99[i] = rate.Latency.P50, rate.Latency.P99
		f.doubt(rate, "%s, %s %s, %v of its capacity", m.name, side.who, side.what, serverLoads[i])
	}
	t.held, err = r.memory()
	return t, err
}
