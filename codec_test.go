package kith_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/kith-go/kith"
)

func TestJSON(t *testing.T) {
	type name struct{ First, Last string }
	in := name{"Ada", "<Lovelace>"}
	data, err := kith.JSON.Append([]byte("before "), &in)
	want, _ := json.Marshal(in)
	if err != nil || string(data) != "before "+string(want) {
		t.Errorf("Append(%q) = %q, %v, want %q", in, data, err, "before "+string(want))
	}
	var out name
	if err := kith.JSON.Decode(want, &out); err != nil || out != in {
		t.Errorf("Decode(%s) = %v, %v, want %v", want, out, err, in)
	}
	dst := []byte("kept")
	if got, err := kith.JSON.Append(dst, make(chan int)); err == nil || string(got) != "kept" {
		t.Errorf("Append(channel) = %q, %v, want %q and an error", got, err, dst)
	}
	if err := kith.JSON.Decode([]byte("{"), &out); err == nil {
		t.Errorf("Decode(%q) = nil, want an error", "{")
	}
	if got := kith.JSON.Name(); got != "json" {
		t.Errorf("JSON.Name() = %q, want json", got)
	}
}

// TestJSONKeepsNothing: a request's bytes are used again after its handler.
func TestJSONKeepsNothing(t *testing.T) {
	data := []byte(`{"S":"text","R":[1,2],"B":"AQID"}`)
	var v struct {
		S string
		R json.RawMessage
		B []byte
	}
	if err := kith.JSON.Decode(data, &v); err != nil {
		t.Fatal(err)
	}
	clear(data)
	if v.S != "text" || string(v.R) != "[1,2]" || !bytes.Equal(v.B, []byte{1, 2, 3}) {
		t.Errorf("Decode = %+v after its input changed, want it unchanged", v)
	}
}

func TestRaw(t *testing.T) {
	in := []byte("bytes")
	data, err := kith.Raw.Append([]byte("before "), &in)
	if err != nil || string(data) != "before bytes" {
		t.Errorf("Append(%q) = %q, %v, want %q", in, data, err, "before bytes")
	}
	var out []byte
	if err := kith.Raw.Decode(in, &out); err != nil || string(out) != "bytes" {
		t.Errorf("Decode(%q) = %q, %v, want the same", in, out, err)
	}
	in[0] = 'X'
	if string(out) != "bytes" {
		t.Errorf("Decode kept its input: %q", out)
	}
	var s string
	if got, err := kith.Raw.Append(nil, &s); err == nil || !strings.Contains(err.Error(), "*string") {
		t.Errorf("Append(*string) = %q, %v, want an error that names the type", got, err)
	}
	if err := kith.Raw.Decode(in, &s); err == nil || !strings.Contains(err.Error(), "*string") {
		t.Errorf("Decode into *string = %v, want an error that names the type", err)
	}
	if got := kith.Raw.Name(); got != "raw" {
		t.Errorf("Raw.Name() = %q, want raw", got)
	}
}
