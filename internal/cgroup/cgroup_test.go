package cgroup

import (
	"math"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"testing"
	"testing/fstest"
)

const unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"

func TestLimits(t *testing.T) {
	for _, c := range []struct {
		name           string
		groups, mounts string
		files          map[string]string
		cpus           float64
		memory         int64
	}{
		{name: "nothing mounted", groups: "0::/\n"},
		{name: "no files at all"},
		{
			name: "version 2 in a container", groups: "0::/\n", mounts: unified,
			files: map[string]string{"cpu.max": "50000 100000\n", "memory.max": "1073741824\n", "memory.high": "max\n"},
			cpus:  0.5, memory: 1 << 30,
		},
		{
			name: "version 2, no limit", groups: "0::/a.slice/b.service\n", mounts: unified,
			files: map[string]string{"a.slice/b.service/cpu.max": "max 100000\n", "a.slice/b.service/memory.max": "max\n"},
		},
		{
			name: "version 2, the slice is tighter than the service", groups: "0::/a.slice/b.service\n", mounts: unified,
			files: map[string]string{
				"a.slice/b.service/cpu.max": "400000 100000\n", "a.slice/cpu.max": "150000 100000\n",
				"a.slice/b.service/memory.max": "3000000000\n", "a.slice/memory.high": "2000000000\n",
			},
			cpus: 1.5, memory: 2000000000,
		},
		{
			name:   "version 1 in a container that sees its own part of the hierarchy",
			groups: "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/\n",
			mounts: "31 30 0:27 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n" +
				"32 30 0:28 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
			files: map[string]string{
				"cpu,cpuacct/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
				"memory/memory.limit_in_bytes": "536870912\n",
			},
			cpus: 2.5, memory: 512 << 20,
		},
		{
			name: "version 1, no limit", groups: "5:cpu:/\n4:memory:/\n",
			mounts: "31 30 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n" +
				"32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
			files: map[string]string{
				"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n",
				"memory/memory.limit_in_bytes": "9223372036854771712\n",
			},
		},
		{
			name: "a name outside of what is mounted", groups: "0::/../../elsewhere\n", mounts: strings.Replace(unified, " / ",
				" /docker/abc ", 1),
			files: map[string]string{"cpu.max": "200000 100000\n"}, cpus: 2,
		},
		{
			name: "what no kernel writes", groups: "no\n:\n0::/\n\n", mounts: "x - y\n" + unified,
			files: map[string]string{"cpu.max": "\n", "memory.max": "-5 apples\n"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := fstest.MapFS{
				"proc/self/cgroup": {Data: []byte(c.groups)}, "proc/self/mountinfo": {Data: []byte(c.mounts)},
			}
			for name, text := range c.files {
				root["sys/fs/cgroup/"+name] = &fstest.MapFile{Data: []byte(text)}
			}
			if got := cpus(root); got != c.cpus {
				t.Errorf("%v CPUs, want %v", got, c.cpus)
			}
			if got := memory(root); got != c.memory {
				t.Errorf("%d bytes, want %d", got, c.memory)
			}
		})
	}
}

// TestLimitMemory: the collector gets nine tenths of the limit, unless the environment says something else.
func TestLimitMemory(t *testing.T) {
	if want := os.Getenv("CGROUP_TEST_WANT"); want != "" {
		if got := LimitMemory(); got != 123<<20 {
			t.Errorf("%d bytes, want GOMEMLIMIT's", got)
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestLimitMemory$")
	cmd.Env = append(os.Environ(), "GOMEMLIMIT=123MiB", "CGROUP_TEST_WANT=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if os.Getenv("GOMEMLIMIT") != "" {
		t.Skip("GOMEMLIMIT is set")
	}
	defer debug.SetMemoryLimit(math.MaxInt64)
	if got, want := LimitMemory(), Memory()/10*9; got != want {
		t.Errorf("%d bytes, want %d", got, want)
	}
}
