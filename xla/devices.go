// Package xla trains and measures models through GoMLX and XLA, on whatever a PJRT plugin drives: GPUs, TPUs, or this
// machine's processor, one device or several. Stepper is a trainer.Backend beside package train's: the same losses,
// recipes, logs and checkpoints, and a run that one began the other goes on with.
//
// A step is two programs. The first (pass) takes a batch and gives the gradient of its loss and figures; the second
// (update) takes AdamW's step. Weights, moments, average and gradient are one vector each, laid out as vit.Params.Data,
// and stay on the devices. On several devices a batch is cut into equal parts and the vectors are copied (AutoSharding:
// one program for all, so what couples the images of a batch is of the whole batch).
//
// Letters in shapes: B images, N tokens an image, n rows of them in a block, E embedding, L blocks, Q mean fields, I
// vectors that heads look at, P parameters.
package xla

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/distributed"
	plugin "github.com/gomlx/go-xla/compute/xla"
	"github.com/gomlx/go-xla/pjrt"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// PluginVariable is the environment variable that names the plugin where nothing else does.
const PluginVariable = "ADAVIT_PJRT_PLUGIN"

// Devices are those of one plugin that a program runs on.
type Devices struct {
	backend compute.Backend
	count   int
	host    bool // they are this machine's processor
	mesh    *distributed.DeviceMesh
}

// meshAxis is the only axis of the mesh: batches are cut along it.
const meshAxis = "batch"

// Open loads a plugin (the file of a PJRT C API plugin; "" is what PluginVariable says) and takes its first count
// devices. A plugin for processors makes as many of this machine as are asked for. Products of float32 numbers are
// float32's: TF32 is off.
func Open(path string, count int) (*Devices, error) {
	if path = cmp.Or(path, os.Getenv(PluginVariable)); path == "" {
		return nil, fmt.Errorf("xla: no PJRT plugin is named (--plugin FILE, %s); xla/plugin.sh fetches one", PluginVariable)
	}
	path, err := filepath.Abs(path)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		return nil, fmt.Errorf("xla: plugin: %w; xla/plugin.sh fetches one", err)
	}
	if count < 1 {
		return nil, fmt.Errorf("xla: %d devices, want 1 or more", count)
	}
	options, host := pjrt.NamedValuesMap{}, strings.Contains(filepath.Base(path), "cpu")
	if host {
		options["cpu_device_count"] = int64(count)
	}
	backend, err := plugin.NewWithOptions(path+",tf32=false", options)
	if err != nil {
		return nil, fmt.Errorf("xla: plugin %s: %w", path, err)
	}
	d := &Devices{backend: backend, count: count, host: host}
	if have := int(backend.NumDevices()); have < count {
		d.Close()
		return nil, fmt.Errorf("xla: plugin %s has %d devices, not %d", path, have, count)
	}
	if d.mesh, err = distributed.NewDeviceMesh([]int{count}, []string{meshAxis}); err != nil {
		d.Close()
		return nil, fmt.Errorf("xla: %w", err)
	}
	return d, nil
}

// Count is the number of devices.
func (d *Devices) Count() int { return d.count }

// Close gives the devices back. Nothing that was made on them may be used afterwards.
func (d *Devices) Close() { d.backend.Finalize() }

// value is a tensor on the devices, a part or a copy on each: [Count].
type value []*tensors.Tensor

// copies puts the same numbers on all devices.
func copies[T float32 | int32](d *Devices, data []T, shape ...int) value {
	v := make(value, d.count)
	for i := range v {
		v[i] = tensors.FromFlatDataAndDimensions(data, shape...)
	}
	return v
}

// cut gives each device an equal part of the first axis, which must be a multiple of Count.
func cut[T float32 | int32](d *Devices, data []T, shape ...int) value {
	v := make(value, d.count)
	part := append([]int{shape[0] / d.count}, shape[1:]...)
	size := len(data) / d.count
	for i := range v {
		v[i] = tensors.FromFlatDataAndDimensions(data[i*size:(i+1)*size], part...)
	}
	return v
}

// free gives memory back; what is freed already stays so.
func (v value) free() {
	for _, t := range v {
		t.FinalizeAll()
	}
}

// read copies the numbers of a value that all devices have alike.
func (v value) read(dst []float32) error {
	return tensors.ConstFlatData(v[0], func(flat []float32) { copy(dst, flat) })
}

// program is a graph for the devices. Its first inputs are the same on all of them, the others are cut.
type program struct {
	devices *Devices
	exec    *graph.Exec
}

// compile makes a program of build, whose first so many inputs are copies. It is compiled when it is first run. Outputs
// are copies.
func (d *Devices) compile(name string, same, all int, build func(in []*graph.Node) []*graph.Node) (*program, error) {
	exec, err := graph.NewExec(d.backend, build)
	if err != nil {
		return nil, fmt.Errorf("xla: %s: %w", name, err)
	}
	exec = exec.WithName(name).SetMaxCache(-1)
	if d.count > 1 {
		in := make([]*distributed.ShardingSpec, all)
		for i := range in {
			in[i] = distributed.NewReplicatedShardingSpec(d.mesh)
			if i >= same {
				if in[i], err = distributed.NewShardingSpec(d.mesh, distributed.AxisSpec{meshAxis}); err != nil {
					return nil, fmt.Errorf("xla: %s: %w", name, err)
				}
			}
		}
		exec = exec.AutoSharding(d.mesh).WithInputShardingSpecs(in...).
			WithOutputShardingSpecs(distributed.NewReplicatedShardingSpec(d.mesh))
	}
	return &program{d, exec}, nil
}

// run runs the program. Inputs stay what they are, so that a run that fails costs nothing.
func (p *program) run(in []value) (out []value, err error) {
	d := p.devices
	args := make([]any, d.count*len(in))
	for i := range d.count {
		for j, v := range in {
			args[i*len(in)+j] = v[i]
		}
	}
	list, err := p.exec.Call(args...)
	if err != nil {
		return nil, fmt.Errorf("xla: %w", short(err))
	}
	each := len(list) / d.count
	out = make([]value, each)
	for j := range out {
		for i := range d.count {
			out[j] = append(out[j], list[i*each+j])
		}
	}
	return out, nil
}

// short is err without the stack that GoMLX prints with it.
func short(err error) error { return errors.New(strings.SplitN(err.Error(), "\ngoroutine", 2)[0]) }
