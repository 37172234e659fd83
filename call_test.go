package kith_test

import (
	"context"
	"maps"
	"testing"

	"github.com/kith-go/kith"
)

// keep is a Caller that keeps the request of its last call.
type keep struct{ r kith.Request }

func (k *keep) Invoke(_ context.Context, r kith.Request) ([]byte, error) {
	k.r = r
	return []byte("null"), nil
}

func (k *keep) Open(context.Context, kith.Request) (kith.CallStream, error) { panic("not called") }

func TestCallOptions(t *testing.T) {
	k := &keep{}
	var trailer kith.Metadata
	first := kith.Metadata{"a": "1", "b": "1"}
	second := kith.Metadata{"b": "2", "c": "2"}
	_, err := kith.Unary[string, any]("s/M").Call(t.Context(), k, "x",
		kith.WithMetadata(first), kith.Trailer(&trailer), kith.WithCodec(kith.JSON), kith.WithMetadata(second), kith.WaitForReady())
	if err != nil {
		t.Fatal(err)
	}
	if want := (kith.Metadata{"a": "1", "b": "2", "c": "2"}); !maps.Equal(k.r.Metadata, want) {
		t.Errorf("Metadata = %v, want %v", k.r.Metadata, want)
	}
	if k.r.Trailer != &trailer || k.r.Codec != kith.JSON || !k.r.WaitForReady {
		t.Errorf("request = %+v, want the trailer, JSON, WaitForReady", k.r)
	}
	if len(first) != 2 || first["b"] != "1" || len(second) != 2 {
		t.Errorf("WithMetadata changed its arguments: %v, %v", first, second)
	}
}

func TestMetadataIsCopied(t *testing.T) {
	k := &keep{}
	md := kith.Metadata{"a": "1"}
	if _, err := kith.Unary[string, any]("s/M").Call(t.Context(), k, "x", kith.WithMetadata(md)); err != nil {
		t.Fatal(err)
	}
	md["a"] = "2"
	if k.r.Metadata["a"] != "1" {
		t.Errorf("Metadata = %v after the argument changed, want a=1", k.r.Metadata)
	}
	if _, err := kith.Unary[string, any]("s/M").Call(t.Context(), k, "x", kith.WithMetadata(nil)); err != nil || len(k.r.Metadata) != 0 {
		t.Errorf("WithMetadata(nil) gives %v, %v, want none", k.r.Metadata, err)
	}
}

// TestWithCodecLeavesRawAlone: a codec that cannot encode []byte is not asked.
func TestWithCodecLeavesRawAlone(t *testing.T) {
	got, err := methodCopy.Call(t.Context(), echo{}, []byte("x"), kith.WithCodec(hexCodec{}))
	if string(got) != "x" || err != nil {
		t.Errorf("Call(x, hex) = %q, %v, want x", got, err)
	}
	text, err := kith.Unary[string, string]("s/M").Call(t.Context(), echo{}, "x", kith.WithCodec(hexCodec{}))
	if text != "x" || err != nil {
		t.Errorf("Call(x, hex) = %q, %v, want x", text, err)
	}
}
