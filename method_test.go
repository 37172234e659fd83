package kith_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kith-go/kith"
)

func TestMethodNames(t *testing.T) {
	long := "s/" + strings.Repeat("m", kith.MaxMethodName-2)
	for _, name := range []string{"greet/Greet", "a/b", "A-1_z.x/9", ".../---", long} {
		if got := kith.Unary[int, int](name).Name(); got != name {
			t.Errorf("Unary(%q).Name() = %q, want the same", name, got)
		}
	}
	for _, name := range []string{
		"", "/", "greet", "greet/", "/Greet", "/a/b", "a/b/", "a/b/c", "a//b", "a b/c", "a/b c", "a/b\n", "a/b\x00",
		"a/ü", "a/b?c", "a/b%2f", "a\\b", "a:b/c", "a/*", "a/b\xff", long + "m",
	} {
		for kind, make := range map[string]func(){
			"Unary":        func() { kith.Unary[int, int](name) },
			"ServerStream": func() { kith.ServerStream[int, int](name) },
			"ClientStream": func() { kith.ClientStream[int, int](name) },
			"Bidi":         func() { kith.Bidi[int, int](name) },
			"Notify":       func() { kith.Notify[int](name) },
		} {
			wantPanic(t, fmt.Sprintf("%s(%q)", kind, name), fmt.Sprintf("%q", name), make)
		}
	}
}

func TestMethodKinds(t *testing.T) {
	for _, tt := range []struct {
		m     *kith.Method
		kind  kith.Kind
		text  string
		codec kith.Codec
	}{
		{&kith.Unary[int, int]("s/M").Method, kith.KindUnary, "unary", kith.JSON},
		{&kith.Unary[[]byte, int]("s/M").Method, kith.KindUnary, "unary", kith.JSON},
		{&kith.Unary[int, []byte]("s/M").Method, kith.KindUnary, "unary", kith.JSON},
		{&kith.Unary[[]byte, []byte]("s/M").Method, kith.KindUnary, "unary", kith.Raw},
		{&kith.Unary[any, any]("s/M").Method, kith.KindUnary, "unary", kith.JSON},
		{&kith.ServerStream[[]byte, []byte]("s/M").Method, kith.KindServerStream, "server stream", kith.Raw},
		{&kith.ClientStream[int, []byte]("s/M").Method, kith.KindClientStream, "client stream", kith.JSON},
		{&kith.Bidi[[]byte, []byte]("s/M").Method, kith.KindBidi, "bidi", kith.Raw},
		{&kith.Notify[[]byte]("s/M").Method, kith.KindNotify, "notify", kith.Raw},
	} {
		if tt.m.Kind() != tt.kind || tt.m.Kind().String() != tt.text || tt.m.Codec() != tt.codec {
			t.Errorf("method = %v, codec %s, want %s, codec %s", tt.m.Kind(), tt.m.Codec().Name(), tt.text, tt.codec.Name())
		}
	}
	for k, want := range map[kith.Kind]string{0: "Kind(0)", 6: "Kind(6)", 255: "Kind(255)"} {
		if got := k.String(); got != want {
			t.Errorf("Kind(%d).String() = %q, want %q", uint8(k), got, want)
		}
	}
}

func TestMethodOptions(t *testing.T) {
	plain := kith.Unary[int, int]("s/M")
	if plain.Idempotent() || plain.Isolated() || plain.Timeout() != 0 || plain.MaxMessage() != 0 || plain.Doc() != "" {
		t.Errorf("options of a method without any = %+v, want none", plain.Method)
	}
	m := kith.Unary[int, int]("s/M", kith.Idempotent(), kith.Isolated(), kith.Timeout(time.Second), kith.MaxMessage(-1), kith.Doc("Says M."))
	if !m.Idempotent() || !m.Isolated() || m.Timeout() != time.Second || m.MaxMessage() != -1 || m.Doc() != "Says M." {
		t.Errorf("options = %t, %t, %v, %d, %q, want true, true, 1s, -1, %q",
			m.Idempotent(), m.Isolated(), m.Timeout(), m.MaxMessage(), m.Doc(), "Says M.")
	}
	if m := kith.Notify[int]("s/M", kith.MaxMessage(1), kith.MaxMessage(2)); m.MaxMessage() != 2 {
		t.Errorf("MaxMessage() = %d, want the later option's 2", m.MaxMessage())
	}
}
