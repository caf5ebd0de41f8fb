package grpc

import (
	"reflect"

	"google.golang.org/protobuf/proto"
)

// A renewal has a reply for each attempt of a unary call. A message is made anew each
// time, so that attempts may run at the same time; of any other reply there is one, which
// each attempt finds as the first one did.
type renewal struct {
	reply   any
	message proto.Message // nil if the reply is none
	before  reflect.Value // what another reply points to, before the first attempt
}

func newRenewal(reply any) renewal {
	r := renewal{reply: reply}
	if m, ok := messageOf(reply); ok {
		r.message = m
		return r
	}
	if v := reflect.ValueOf(reply); v.Kind() == reflect.Pointer && !v.IsNil() {
		r.before = reflect.New(v.Type().Elem()).Elem()
		r.before.Set(v.Elem())
	}
	return r
}

// overlaps reports whether two attempts may have a reply at the same time.
func (r *renewal) overlaps() bool { return r.message != nil }

// next returns the reply of an attempt.
func (r *renewal) next() any {
	if r.message != nil {
		return r.message.ProtoReflect().New().Interface()
	}
	if r.before.IsValid() {
		reflect.ValueOf(r.reply).Elem().Set(r.before)
	}
	return r.reply
}

// deliver gives the caller the reply of an attempt that nobody else has any more.
func (r *renewal) deliver(reply any) {
	if r.message == nil {
		return
	}
	// As the method Reset of generated messages sets all of it.
	reflect.ValueOf(r.reply).Elem().Set(reflect.ValueOf(reply).Elem())
}

// messageOf returns a message of which another one can be made, if m is one: what embeds a
// message is a proto.Message too, but a new one and a copy are only of the message.
func messageOf(m any) (proto.Message, bool) {
	message, ok := m.(proto.Message)
	return message, ok && reflect.TypeOf(message.ProtoReflect().Interface()) == reflect.TypeOf(m)
}
