# The command lines of the Azure contract's two sample documents, as they are printed there.
# "## name" begins a document; "#: status answer" comes before each line, and names its answer in
# test_azure_documents.py, which runs them.

## azure-sessions-2024-10-02.md

#: 202 executed
curl -X 'POST' 'http://localhost:6000/executions?api-version=2024-10-02-preview&identifier=test-identifier'   -H 'Content-Type: application/json' -d '{
        "identifier": "test-identifier",
        "codeInputType": "inline",
        "executionType": "Synchronous",
        "code": "print(\"inline-synchronous\")",
        "timeoutInSeconds": 100
}'

#: 202 submitted
curl -X 'POST' 'http://localhost:6000/executions?api-version=2024-10-02-preview&identifier=test-identifier'   -H 'Content-Type: application/json' -d '{
        "identifier": "test-identifier",
        "codeInputType": "inline",
        "executionType": "Asynchronous",
        "code": "import time\\ntime.sleep(2)\\nprint(\"Hello from async code\")",
        "timeoutInSeconds": 100
}'

#: 200 polled
curl -X 'GET' 'http://localhost:6000/executions/8963ad02-1d0b-43ef-9863-0cefd18d5fb4?api-version=2024-10-02-preview&identifier=test-identifier'

#: 200 new-file
curl -v  -X POST -F "file=@/path/to/your/file/README.md" 'http://localhost:6000/files?api-version=2024-10-02-preview&identifier=test-identifier&path=/mnt/data'

#: 200 bytes
curl -v -O -X GET "http://localhost:6000/files/README2.md/content?api-version=2024-10-02-preview&identifier=test-identifier"

#: 200 new-files
curl -v -X GET 'http://localhost:6000/files?api-version=2024-10-02-preview&identifier=test-identifier'

#: 200 new-file
curl -v -X GET "http://localhost:6000/files/README2.md?api-version=2024-10-02-preview&identifier=test-identifier"

#: 204 nothing
curl -v -X DELETE "http://localhost:6000/files/README2.md?api-version=2024-10-02-preview&identifier=test-identifier"

## azure-sessions-all-versions.md

#: 202 old-executed
curl -X 'POST' 'http://localhost:6000/code/execute?api-version=2024-08-02-preview&identifier=test-identifier'   -H 'Content-Type: application/json' -d '{
    "properties": {
        "identifier": "test-identifier",
        "codeInputType": "inline",
        "executionType": "Synchronous",
        "code": "print(\"inline-synchronous\")",
        "timeoutInSeconds": 100
    }
}'

#: 202 old-slept
curl -X 'POST' 'http://localhost:6000/code/execute?api-version=2024-08-02-preview&identifier=test-identifier'   -H 'Content-Type: application/json' -d '{
    "properties": {
        "identifier": "test-identifier",
        "codeInputType": "inline",
        "executionType": "Synchronous",
        "code": "import time \ntime.sleep(5) \nprint(\"Done Sleeping\")",
        "timeoutInSeconds": 100
    }
}'

#: 200 container-files
curl -v -X POST -F "file=@/path/to/your/file/README.md" 'http://localhost:6000/upload'

#: 200 bytes
curl -v -O -X GET "http://localhost:6000/files/content/README.md/content?api-version=2024-08-02-preview&identifier=test-identifier"

#: 200 old-files
curl -v -X GET 'http://localhost:6000/files?api-version=2024-08-02-preview&identifier=test-identifier'

#: 200 old-file
curl -v -X GET "http://localhost:6000/files/README.md?api-version=2024-08-02-preview&identifier=test-identifier"

#: 200 old-deleted
curl -v -X DELETE "http://localhost:6000/files/README.md?api-version=2024-08-02-preview&identifier=test-identifier"

#: 202 executed
curl -X 'POST' 'http://localhost:6000/executions?api-version=2024-10-02-preview&identifier=test-identifier'   -H 'Content-Type: application/json' -d '{
        "identifier": "test-identifier",
        "codeInputType": "inline",
        "executionType": "Synchronous",
        "code": "print(\"inline-synchronous\")",
        "timeoutInSeconds": 100
}'

#: 202 submitted
curl -X 'POST' 'http://localhost:6000/executions?api-version=2024-10-02-preview&identifier=test-identifier'   -H 'Content-Type: application/json' -d '{
        "identifier": "test-identifier",
        "codeInputType": "inline",
        "executionType": "Asynchronous",
        "code": "import time\\ntime.sleep(2)\\nprint(\"Hello from async code\")",
        "timeoutInSeconds": 100
}'

#: 200 polled
curl -X 'GET' 'http://localhost:6000/executions/8963ad02-1d0b-43ef-9863-0cefd18d5fb4?api-version=2024-10-02-preview&identifier=test-identifier'

#: 200 new-file
curl -v  -X POST -F "file=@/path/to/your/file/README.md" 'http://localhost:6000/files?api-version=2024-10-02-preview&identifier=test-identifier&path=/mnt/data'

#: 200 bytes
curl -v -O -X GET "http://localhost:6000/files/README2.md/content?api-version=2024-10-02-preview&identifier=test-identifier&path=/mnt/data"

#: 200 new-files
curl -v -X GET 'http://localhost:6000/files?api-version=2024-10-02-preview&identifier=test-identifier&path=/mnt/data'

#: 200 new-file
curl -v -X GET "http://localhost:6000/files/README2.md?api-version=2024-10-02-preview&identifier=test-identifier&path=/mnt/data"

#: 204 nothing
curl -v -X DELETE "http://localhost:6000/files/README2.md?api-version=2024-10-02-preview&identifier=test-identifier&path=/mnt/data"
