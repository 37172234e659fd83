package kith

import (
	"encoding/json"
	"fmt"
	"sync"
)

// A Codec turns messages into bytes and back. It must be safe for concurrent
// use. Both sides name a codec alike; a caller picks one by [WithCodec], and a
// call with a codec that the other side does not have fails with
// [Unimplemented].
type Codec interface {
	// Name is what the codec is called on the wire: 1 to 32 printable ASCII
	// characters without space, "json" say.
	Name() string
	// Append appends the encoding of v to dst. v is a pointer to the message.
	Append(dst []byte, v any) ([]byte, error)
	// Decode decodes data into v, a pointer to a zero message. It must not keep
	// data.
	Decode(data []byte, v any) error
}

// JSON is the default codec, encoding/json. A message nested deeper than
// [MaxDepth] does not decode.
var JSON Codec = jsonCodec{}

// Raw is the codec of messages of type []byte: their bytes are the encoding.
// Methods whose messages are []byte use it by themselves.
var Raw Codec = rawCodec{}

type jsonCodec struct{}

func (jsonCodec) Name() string { return "json" }

func (jsonCodec) Append(dst []byte, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return dst, err
	}
	return append(dst, data...), nil
}

func (jsonCodec) Decode(data []byte, v any) error {
	if tooDeep(data) {
		return errTooDeep
	}
	return json.Unmarshal(data, v)
}

type rawCodec struct{}

func (rawCodec) Name() string { return "raw" }

func (rawCodec) Append(dst []byte, v any) ([]byte, error) {
	p, ok := v.(*[]byte)
	if !ok {
		return dst, fmt.Errorf("codec raw encodes []byte, not %T", v)
	}
	return append(dst, *p...), nil
}

func (rawCodec) Decode(data []byte, v any) error {
	p, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("codec raw decodes into []byte, not %T", v)
	}
	*p = append([]byte(nil), data...)
	return nil
}

// isRaw reports whether messages of type T pass as they are.
func isRaw[T any]() bool {
	var zero T
	_, ok := any(zero).([]byte)
	return ok
}

// encodeBuffers holds *[]byte that codecs append to. Buffers that grew above
// maxPooled are left to the garbage collector.
var encodeBuffers = sync.Pool{New: func() any { return new([]byte) }}

const maxPooled = 64 << 10

func putBuffer(b *[]byte) {
	if cap(*b) <= maxPooled {
		encodeBuffers.Put(b)
	}
}

// asRaw returns the bytes of a message of type []byte. It looks through a
// pointer, since boxing the slice itself would allocate.
func asRaw[T any](v *T) ([]byte, bool) {
	if p, ok := any(v).(*[]byte); ok {
		return *p, true
	}
	return nil, false
}

// sendValue encodes v and sends it.
func sendValue[T any](to Messages, c Codec, v T) error {
	if p, ok := asRaw(&v); ok {
		return to.Send(p)
	}
	return sendEncoded(to, c, v)
}

// sendEncoded is split off so that the variable that escapes into the codec
// is not made for raw messages; so are invokeEncoded and decodeNew.
func sendEncoded[T any](to Messages, c Codec, v T) error {
	buf := encodeBuffers.Get().(*[]byte)
	defer putBuffer(buf)
	data, err := encodeValue(c, (*buf)[:0], &v)
	if err != nil {
		return err
	}
	*buf = data
	return to.Send(data)
}

func encodeValue(c Codec, dst []byte, v any) ([]byte, error) {
	data, err := c.Append(dst, v)
	if err != nil {
		return dst, fmt.Errorf("encode %T as %s: %w", v, c.Name(), err)
	}
	return data, nil
}

// recvValue receives one message and decodes it. On a []byte it does not
// copy: the rules of [Messages.Recv] hold for the result.
func recvValue[T any](from Messages, c Codec) (v T, err error) {
	p, err := from.Recv()
	if err != nil {
		return v, err
	}
	return decodeValue[T](c, p)
}

// decodeValue decodes p, or passes it on as it is.
func decodeValue[T any](c Codec, p []byte) (v T, err error) {
	if raw, ok := any(&v).(*[]byte); ok {
		*raw = p
		return v, nil
	}
	return decodeNew[T](c, p)
}

func decodeNew[T any](c Codec, p []byte) (v T, err error) {
	if err = c.Decode(p, &v); err != nil {
		err = &DecodeError{Codec: c.Name(), Err: err}
	}
	return v, err
}

// A DecodeError says that an answer from the other side did not decode. A
// request that does not decode fails in the handler, and its caller is told
// [InvalidArgument] with the same text.
type DecodeError struct {
	// Codec is the name of the codec.
	Codec string
	// Err is what the codec said.
	Err error
}

// Error names the codec and the cause.
func (e *DecodeError) Error() string { return fmt.Sprintf("decode %s message: %v", e.Codec, e.Err) }

// Unwrap returns Err.
func (e *DecodeError) Unwrap() error { return e.Err }

// Code returns [InvalidArgument].
func (e *DecodeError) Code() Code { return InvalidArgument }
