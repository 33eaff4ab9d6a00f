# Writes OUTPUT (C source) with the lines of the CSV file INPUT as texts.
file(STRINGS "${INPUT}" lines ENCODING UTF-8)
set(text "#include \"grid/paper_lines.h\"\n\nconst char *const um_paper_lines[] = {\n")
foreach(line IN LISTS lines)
  string(REPLACE "\"" "\\\"" line "${line}")
  string(APPEND text "    \"${line}\",\n")
endforeach()
string(APPEND text "    0,\n};\n")
file(WRITE "${OUTPUT}" "${text}")
