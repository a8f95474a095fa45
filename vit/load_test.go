package vit

import "testing"

func TestLoadReference(t *testing.T) {
	m, err := Load("testdata/hf_vit")
	if err != nil {
		t.Fatal(err)
	}
	c := m.Params.Config
	want := Config{Embed: 32, Heads: 2, Layers: 3, Hidden: 128, Height: 32, Width: 32, Patch: 8, Channels: 3, Classes: 6}
	if c.Embed != want.Embed || c.Layers != want.Layers || c.Classes != 6 || len(c.Labels) != 6 {
		t.Errorf("config %+v", c)
	}
}
