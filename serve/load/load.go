// Package load decides what a server does when more is asked of it than it can do in time: which budget the next pass
// gets, who is let in, and what a caller who is not let in is told. Nothing here runs by itself or reads a clock: every
// call says what time it is, and the same calls give the same answers.
//
// Three loops lie in each other. Each arrival is admitted if it can meet its deadline behind the backlog at the least
// budgets that all may be lowered to, and refused otherwise (Clockwork's admission: Gujarati and others, OSDI 2020).
// Before each pass the queue is played forward in the order of deadlines, as the pool will run it, for the largest
// share with which everything that waits is done in time (Controller.Plan). Every 250 ms a trim, in brownout's form
// (Klein and others, ICSE 2014), corrects from the measured 99th percentile what the predictions get wrong.
//
// Work is counted in token-blocks, one token through one block; budgets are shares, in (0, 1], of those that the dense
// model spends on an image. A server calls it so:
//
//	control, err := load.New(load.Options{Workers: pool.Threads(), Objective: slo, Mode: load.Degrade})
//	class := control.NewClass(model.PassSize(), warmup.Seconds()/dense)    // for each model that is loaded
//
//	item := &load.Item{Class: class, Dense: dense, Ask: ask, Client: fromRequest, Least: least} // for each image
//	if retry, ok := control.Admit(time.Now(), timeout, item); !ok {        // before it is decoded
//		return overloaded(retry)                                           // 503, Retry-After if retry > 0
//	}
//	defer control.Drop(item)                                               // does nothing if it ran or was shed
//	job := &pool.Job{Deadline: item.Deadline, Value: item, …}
//
//	plan := func(waiting []*pool.Job) {                                    // pool.Options.Plan
//		items = items[:0]
//		for _, job := range waiting {
//			items = append(items, job.Value.(*load.Item))
//		}
//		control.Plan(time.Now(), items)
//		for i, job := range waiting {
//			if items[i].Shed {
//				job.Err = errShed                                          // 503, Retry-After: items[i].Retry
//			} else {
//				job.Scheme, job.Work = scheme(items[i].Share), items[i].Share*items[i].Dense
//			}
//		}
//	}
//	ran := func(p pool.Pass) { control.Ran(time.Now(), p.Took, p.Shared, itemsOf(p.Jobs)) } // pool.Options.Ran
package load

import (
	"fmt"
	"time"

	"github.com/adavit/adavit/internal/usage"
)

// Mode is what happens when not everything can be done in time.
type Mode uint8

const (
	// Degrade lowers budgets, at most to Item.Least, and then sheds.
	Degrade Mode = iota
	// Shed leaves budgets alone, and refuses what would be late.
	Shed
	// Queue lets everything in and leaves budgets alone, however late answers get.
	Queue
)

var modes = [...]string{Degrade: "degrade", Shed: "shed", Queue: "queue"}

func (m Mode) String() string {
	if int(m) < len(modes) {
		return modes[m]
	}
	return fmt.Sprintf("Mode(%d)", uint8(m))
}

// ParseMode returns the Mode of that name. An error wraps usage.Err.
func ParseMode(name string) (Mode, error) {
	for m, s := range modes {
		if s == name {
			return Mode(m), nil
		}
	}
	return 0, usage.Errorf("%q says not what to do under overload: give degrade, shed or queue", name)
}

// Reason is why an image got its budget.
type Reason uint8

const (
	// Default: nobody asked for another.
	Default Reason = iota
	// Client: the request asked for it.
	Client
	// Load: it was lowered so that all that waits is done in time.
	Load
	// Deadline: it was lowered because the request's own time was too short for more, even on an idle server.
	Deadline
)

var reasons = [...]string{Default: "default", Client: "client", Load: "load", Deadline: "deadline"}

func (r Reason) String() string {
	if int(r) < len(reasons) {
		return reasons[r]
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}

// Item is an image on its way through the server. The caller makes it and keeps it until it has run or was dropped; the
// controller writes it in Admit and Plan alone.
type Item struct {
	Class  *Class
	Dense  float64 // token-blocks of the dense model
	Ask    float64 // share that it gets if there is time: what the request asked for, or else the default
	Client bool    // Ask is the request's
	// Least is the smallest share that load may lower it to, at most Ask. A budget that a request asks for is a ceiling,
	// and load may go below it; an image whose model knows no smaller budgets has Least = Ask.
	Least float64
	// Prepare is what it takes, of one CPU of as many as there are workers, before it can be planned: a picture has to be
	// decoded. About; 0 for what has come prepared.
	Prepare time.Duration

	Arrived  time.Time // by Admit
	Deadline time.Time // by Admit: Arrived and the smaller of its timeout and the objective; zero if it has neither

	Share  float64       // by Plan, the budget that it gets if it is in the next pass: in [Least, Ask]
	Reason Reason        // by Plan, why
	Shed   bool          // by Plan: it cannot be done in time and must not run
	Retry  time.Duration // by Plan, if Shed: see Controller.Admit

	plan uint64 // the last that saw it, counted from 1; 0: none yet
}

// Options are what New needs to know.
type Options struct {
	Workers   int           // that run passes at the same time, at least 1
	Team      int           // of those, how many share each image where fewer wait and nobody is at work; 0: all
	Objective time.Duration // from arrival to answer, for 99 of 100 images; 0: none, only the requests' own deadlines
	Mode      Mode
}

// validate returns an error that wraps usage.Err.
func (o Options) validate() error {
	switch {
	case o.Workers < 1:
		return usage.Errorf("%d workers, want at least 1", o.Workers)
	case o.Objective < 0:
		return usage.Errorf("an objective of %v, want a positive time, or 0 for none", o.Objective)
	case int(o.Mode) >= len(modes):
		return usage.Errorf("unknown %v, want degrade, shed or queue", o.Mode)
	}
	return nil
}
