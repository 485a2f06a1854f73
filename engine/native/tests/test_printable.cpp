// Text for a terminal: always one line of UTF-8 without control characters.
#include "../src/printable.hpp"

#include "check.hpp"

using sgi::internal::printable;

int main() {
    CHECK(printable("") == "" && printable("maps.onnx") == "maps.onnx");
    CHECK(printable("d\xc3\xa9j\xc3\xa0 \xe2\x82\xac \xf0\x9f\x98\x80") ==
          "d\xc3\xa9j\xc3\xa0 \xe2\x82\xac \xf0\x9f\x98\x80");
    CHECK(printable("a\nb\rc\td") == "a b c?d" && printable("\x1b]0;x\x07") == "?]0;x?" && printable("\x7f") == "?");
    CHECK(printable(std::string("a\0b", 3)) == "a?b");
    CHECK(printable("\xc2\x9b"
                    "31m") == "?31m" &&
          printable("\x9b"
                    "31m") == "?31m"); // C1
    CHECK(printable("\xe2\x80\xae"
                    "a\xe2\x80\xa8"
                    "b\xe2\x81\xa6") == "?a?b?");                                         // directions of text
    CHECK(printable("\xe9t\xe9") == "?t?" && printable("a\xff\xfe") == "a??");            // Latin-1, no UTF-8
    CHECK(printable("\xe2\x82") == "??" && printable("\xf0\x9f\x98") == "???");           // cut off
    CHECK(printable("\xc0\xaf") == "??" && printable("\xe0\x80\xaf") == "???");           // longer than needed
    CHECK(printable("\xed\xa0\x80") == "???" && printable("\xf4\x90\x80\x80") == "????"); // no code points
}
